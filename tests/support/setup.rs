//! How a world begins: shards, limits, what its first listener speaks.
//!
//! Never: starts more than the one engine, or simulated loop, of its world.

use crate::side::Side;
use crate::{Call, Event, React, World, lab};
use shardpoll::{Config, Engine, Listen, Pinning};
use shardpoll_reactor::{Limits, ListenerOptions};

/// How a world begins: one shard and Prosody's limits, unless told otherwise.
#[derive(Debug)]
pub struct Setup {
    shards: usize,
    config: Config,
    listen: Option<Listen>,
    pub(crate) options: ListenerOptions,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// One shard, plain, on a port of the kernel's choice.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: 1,
            config: Config::default(),
            listen: None,
            options: ListenerOptions::default(),
        }
    }

    /// With so many shards.
    #[must_use]
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = count;
        self
    }

    /// With these limits.
    #[must_use]
    pub fn config(mut self, set: impl FnOnce(&mut Config)) -> Self {
        set(&mut self.config);
        self
    }

    /// With a listener of another kind; on Linux only.
    #[must_use]
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listen = Some(listen);
        self
    }

    /// With these limits of its listener.
    #[must_use]
    pub fn limits(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        set(&mut self.options.limits);
        self
    }

    /// With these options of its listener.
    #[must_use]
    pub fn options(mut self, set: impl FnOnce(&mut ListenerOptions)) -> Self {
        set(&mut self.options);
        self
    }

    /// Starts it; every connection it accepts reacts so.
    #[must_use]
    pub fn start(self, react: impl React) -> World {
        let Self { shards, config, listen, options } = self;
        let side = if lab::is_on() {
            assert_eq!(shards, 1, "the simulation has one shard");
            Side::Sim { shard: lab::start(config) }
        } else {
            let engine = Engine::builder().shards(shards).pinning(Pinning::None).config(config);
            Side::linux(engine.start().expect("an engine starts"))
        };
        World::begin(side, listen, options, react)
    }

    /// Starts an echo server.
    #[must_use]
    pub fn echo(self) -> World {
        self.start(echo)
    }
}

fn echo(call: &mut Call<'_, '_>) {
    if let Event::Incoming(data) = call.event {
        call.write(data);
    }
}
