//! Plays the scripts of clients and upstreams, each on a thread of its own.
//!
//! Never: blocks for longer than a step may take.

use crate::certs;
use crate::fields::Outcome;
use crate::record::{Arg, Record};
use crate::step::{Step, TlsStep};
use crate::wire::{End, PATIENCE, Wire};
use rustls::Connection;
use shardpoll::tls::rustls;
use socket2::{SockAddr, Socket};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// How often a listening upstream looks whether the run is over.
const SLICE: Duration = Duration::from_millis(50);

/// Whether a script goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

/// A script under way.
pub(crate) struct Script<'a> {
    /// Its own label, with the mark of a client.
    pub(crate) label: String,
    pub(crate) record: &'a Record,
    wire: Option<Wire>,
}

impl<'a> Script<'a> {
    pub(crate) fn new(label: &str, record: &'a Record) -> Self {
        Self { label: format!("{label}!"), record, wire: None }
    }

    /// Plays a client's script; gives what is left of its connection.
    pub(crate) fn play_client(
        mut self,
        socket: Socket,
        to: impl Fn() -> Outcome<SocketAddr>,
        steps: &[Step],
    ) -> Outcome<Option<Wire>> {
        let at = steps.iter().position(|step| matches!(step, Step::Connect));
        let (before, after) = match at {
            Some(at) => (&steps[..at], &steps[at + 1..]),
            None => (&[][..], steps),
        };
        for step in before {
            if self.play_step(step)? == Flow::End {
                return Ok(None);
            }
        }
        if let Err(error) = socket.connect_timeout(&to()?.into(), PATIENCE) {
            let text = match error.kind() {
                ErrorKind::ConnectionRefused => "ConnectionRefusedError",
                ErrorKind::TimedOut => "TimeoutError",
                _ => "OSError",
            };
            self.note("connect-failed", vec![Arg::text(text)]);
            return Ok(None);
        }
        self.wire = Some(Wire::new(socket.into()));
        self.play_steps(after)
    }

    /// Accepts one connection, and plays an upstream's script on it.
    pub(crate) fn play_upstream(
        mut self,
        listener: &Socket,
        steps: &[Step],
    ) -> Outcome<Option<Wire>> {
        let Some(stream) = self.accept(listener) else { return Ok(None) };
        self.wire = Some(Wire::new(stream));
        self.play_steps(steps)
    }

    fn accept(&self, listener: &Socket) -> Option<TcpStream> {
        // On Linux the receive timeout bounds accept(2) too: socket(7).
        listener.set_read_timeout(Some(SLICE)).ok()?;
        loop {
            let accepted: io::Result<(Socket, SockAddr)> = listener.accept();
            match accepted {
                Ok((socket, _)) => {
                    socket.set_tcp_nodelay(true).ok()?;
                    return Some(socket.into());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
            if self.record.is_over() {
                return None;
            }
        }
    }

    fn note(&self, name: &str, args: Vec<Arg>) {
        self.record.client(&self.label, name, args);
    }

    fn play_steps(mut self, steps: &[Step]) -> Outcome<Option<Wire>> {
        for step in steps {
            if self.play_step(step)? == Flow::End {
                return Ok(None);
            }
        }
        Ok(self.wire)
    }

    fn play_step(&mut self, step: &Step) -> Outcome<Flow> {
        match step {
            Step::Sleep(time) => thread::sleep(*time),
            Step::Wait { label, event, count } => {
                if !self.record.wait(label, event, *count, PATIENCE) {
                    self.note("wait-timeout", Vec::new());
                    return Ok(Flow::End);
                }
            }
            step => return self.play_on_wire(step),
        }
        Ok(Flow::On)
    }

    fn play_on_wire(&mut self, step: &Step) -> Outcome<Flow> {
        let Some(mut wire) = self.wire.take() else {
            return Err(format!("{}: {step:?} without a connection", self.label));
        };
        let flow = match step {
            Step::Send(data) => self.sent(wire.send(data)),
            Step::Trickle { data, size, gap } => {
                let mut flow = Flow::On;
                for piece in data.chunks(*size) {
                    if flow == Flow::On {
                        flow = self.sent(wire.send(piece));
                        thread::sleep(*gap);
                    }
                }
                flow
            }
            Step::Expect(count) => self.expect(&mut wire, *count),
            Step::Drain => self.drain(&mut wire),
            Step::Silent(time) => self.silent(&mut wire, *time),
            Step::Tls(step) => self.start_tls(&mut wire, step)?,
            Step::Shut => {
                wire.shut();
                Flow::On
            }
            Step::Unwrap => {
                wire.unwrap();
                return Ok(Flow::End);
            }
            Step::Reset => {
                wire.reset();
                return Ok(Flow::End);
            }
            Step::Close => return Ok(Flow::End),
            Step::Connect => return Err(format!("{}: connects twice", self.label)),
            Step::Sleep(_) | Step::Wait { .. } => unreachable!("played without a connection"),
        };
        self.wire = Some(wire);
        Ok(flow)
    }

    fn sent(&self, result: io::Result<()>) -> Flow {
        if result.is_ok() {
            return Flow::On;
        }
        self.note("send-failed", Vec::new());
        Flow::End
    }

    fn ended(&self, end: End) -> Flow {
        let name = match end {
            End::Eof => "eof",
            End::Reset => "reset",
            End::Late => "rx-timeout",
        };
        self.note(name, Vec::new());
        Flow::End
    }

    fn expect(&self, wire: &mut Wire, count: usize) -> Flow {
        let (got, end) = wire.read(count, PATIENCE);
        if end != Some(End::Late) && !(end.is_some() && got.is_empty()) {
            self.note("rx", vec![Arg::Data(got.into())]);
        }
        end.map_or(Flow::On, |end| self.ended(end))
    }

    fn drain(&self, wire: &mut Wire) -> Flow {
        let (got, end) = wire.read(usize::MAX, PATIENCE);
        self.note("rx", vec![Arg::Data(got.into())]);
        let end = end.unwrap_or(End::Eof);
        self.ended(end);
        if end == End::Late { Flow::End } else { Flow::On }
    }

    fn silent(&self, wire: &mut Wire, time: Duration) -> Flow {
        match wire.read_any(time) {
            (_, Some(End::Late)) => self.note("silent", Vec::new()),
            (_, Some(End::Eof | End::Reset)) => self.note("not-silent", vec![Arg::text("eof")]),
            (got, None) => self.note("not-silent", vec![Arg::Data(got.into())]),
        }
        Flow::On
    }

    fn start_tls(&self, wire: &mut Wire, step: &TlsStep) -> Outcome<Flow> {
        let version = step.version.as_deref();
        let tls = if step.server {
            Connection::Server(certs::script_server(&step.cert, version)?)
        } else {
            Connection::Client(certs::script_client(step.sni.as_deref(), version)?)
        };
        if let Err(error) = wire.start_tls(tls) {
            let reason = if step.reason { error.to_string() } else { String::new() };
            self.note("tls-failed", vec![Arg::text(reason)]);
            return Ok(Flow::End);
        }
        let word = if step.show_version { wire.version() } else { "ok" };
        let shown = certs::name_of(wire.tls().and_then(|tls| tls.peer_certificates()));
        self.note("tls", vec![Arg::text(word), Arg::text(shown)]);
        Ok(Flow::On)
    }
}
