//! What a boxed handler costs beside one whose type is known: the proof for handlers as objects.
//!
//! The handlers do next to nothing, which shows the box at its worst. `one_type` is what the
//! predictor sees in a server with one protocol; `four_types`, in an order without a pattern, is
//! the worst there can be, and beside it stands what a loop generic over its handler would need
//! then: an enum of four.
//!
//! The box is taken out of its place for the call, and put back, as the loop does it.
//!
//! Never: includes the loop; `turn` has what an event costs in all.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use fastrand::Rng;
use shardpoll::sim::Simulation;
use shardpoll::{Config, Conn, ConnId, Handler};
use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

/// Handlers in a row that are called one after the other.
const CROWD: usize = 1024;

/// Four types that do as little as can be, each something else.
#[derive(Default)]
struct Protocol<const TYPE: u64> {
    seen: u64,
}

impl<const TYPE: u64> Handler for Protocol<TYPE> {
    fn on_incoming(&mut self, _conn: &mut Conn<'_>, data: &[u8]) {
        self.seen = self.seen.wrapping_add(data.len() as u64 ^ TYPE);
    }
}

/// All of them in one type: what users would write for a loop that is generic over its handler.
enum Either {
    A(Protocol<0>),
    B(Protocol<1>),
    C(Protocol<2>),
    D(Protocol<3>),
}

impl Either {
    fn new(which: u8) -> Self {
        match which {
            0 => Self::A(Protocol::default()),
            1 => Self::B(Protocol::default()),
            2 => Self::C(Protocol::default()),
            _ => Self::D(Protocol::default()),
        }
    }
}

impl Handler for Either {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        match self {
            Self::A(handler) => handler.on_incoming(conn, data),
            Self::B(handler) => handler.on_incoming(conn, data),
            Self::C(handler) => handler.on_incoming(conn, data),
            Self::D(handler) => handler.on_incoming(conn, data),
        }
    }
}

fn boxed(which: u8) -> Box<dyn Handler> {
    match which {
        0 => Box::new(Protocol::<0>::default()),
        1 => Box::new(Protocol::<1>::default()),
        2 => Box::new(Protocol::<2>::default()),
        _ => Box::new(Protocol::<3>::default()),
    }
}

/// Calls each once, taken out of its place meanwhile.
fn call_all<H: Handler>(crowd: &mut [Option<H>], conn: &mut Conn<'_>, data: &[u8]) {
    for place in crowd {
        let mut handler = place.take().expect("it was put back");
        handler.on_incoming(conn, data);
        *place = Some(handler);
    }
}

/// The same with boxes: by the table of methods.
fn call_all_boxed(crowd: &mut [Option<Box<dyn Handler>>], conn: &mut Conn<'_>, data: &[u8]) {
    for place in crowd {
        let mut handler = place.take().expect("it was put back");
        handler.on_incoming(conn, data);
        *place = Some(handler);
    }
}

/// Tells which connection it is on.
struct Silent(Rc<Cell<Option<ConnId>>>);

impl Handler for Silent {
    fn on_connect(&mut self, conn: &mut Conn<'_>) {
        self.0.set(Some(conn.id()));
    }

    fn on_incoming(&mut self, _conn: &mut Conn<'_>, _data: &[u8]) {}
}

/// Times `call` with a connection's cursor.
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut call: impl FnMut(&mut Conn<'_>, &[u8]),
) {
    let mut world = Simulation::new(Config::default()).expect("the defaults make sense");
    let id = Rc::new(Cell::new(None));
    let _peer = world.connect(Silent(Rc::clone(&id)));
    let id = id.get().expect("the peer has connected");
    let data = [7; 64];
    group.bench_function(name, |bencher| {
        world.local(|local| {
            let mut conn = local.conn(id).expect("nobody has closed it");
            bencher.iter(|| call(&mut conn, black_box(&data)));
        });
    });
}

fn dispatch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dispatch");
    group.throughput(Throughput::Elements(CROWD as u64));
    let mut rng = Rng::with_seed(4);
    let mut types = || rng.u8(..4);

    let mut crowd: Vec<_> = (0..CROWD).map(|_| Some(Protocol::<0>::default())).collect();
    bench(&mut group, "static/one_type", |conn, data| {
        call_all(black_box(&mut crowd), conn, data);
    });
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Some(boxed(0))).collect();
    bench(&mut group, "boxed/one_type", |conn, data| {
        call_all_boxed(black_box(&mut crowd), conn, data);
    });
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Some(Either::new(types()))).collect();
    bench(&mut group, "static/four_types", |conn, data| {
        call_all(black_box(&mut crowd), conn, data);
    });
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Some(boxed(types()))).collect();
    bench(&mut group, "boxed/four_types", |conn, data| {
        call_all_boxed(black_box(&mut crowd), conn, data);
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = dispatch
}
criterion_main!(benches);
