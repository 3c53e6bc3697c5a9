//! An echo server on every core: `cargo run -p shardpoll --example echo [ADDR]`.

use shardpoll::{Conn, Engine, Handler, Listen, Signals};
use std::error::Error;
use std::time::Duration;

struct Echo;

impl Handler for Echo {
    fn on_incoming(&mut self, conn: &mut Conn<'_>, data: &[u8]) {
        conn.write(data);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Before the engine's threads start, so that they inherit it.
    let mut signals = Signals::block()?;
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let engine = Engine::builder().start()?;
    let listener = engine.listen(Listen::parse(&addr)?, |_peer| Echo)?;
    println!("listening on {}", engine.addr(listener).ok_or("just added")?);
    signals.wait()?;
    engine.quit(Duration::from_secs(5));
    engine.join()?;
    Ok(())
}
