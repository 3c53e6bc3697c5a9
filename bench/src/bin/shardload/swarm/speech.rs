//! A connection that follows a script: carries out what its [`Talk`] asks for, and keeps its time.
//!
//! Never: decides what a fault or the end of a script means; who speaks does.
//!
//! Invariants:
//! 1. A speech has one timer at most, and none after [`Speech::hush`].

use super::Swarm;
use super::plan::Work;
use crate::reach::{Endpoint, Preamble};
use crate::script::{self, Fault, Next, Script, Talk, Variables};
use shardpoll::{Conn, Handler, Local, TimerId, Written};
use std::cell::OnceCell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The scripts of a shard: its own, since an expression that threads share makes them wait.
#[derive(Default)]
pub(super) struct Scripts {
    /// Of the work, when it is conversations.
    pub(super) work: Option<Rc<Script>>,
    smtp: OnceCell<Rc<Script>>,
    xmpp: OnceCell<Rc<Script>>,
    random: RandomState,
}

impl Scripts {
    pub(super) fn new(work: &Work) -> Self {
        let work = match work {
            Work::Script(script) => Some(Rc::new(Script::clone(script))),
            _ => None,
        };
        Self { work, ..Self::default() }
    }

    /// What a connection to this target says before TLS.
    fn preamble(&self, preamble: Preamble) -> &Rc<Script> {
        match preamble {
            Preamble::Smtp => self.smtp.get_or_init(|| Rc::new(script::starttls_smtp())),
            Preamble::Xmpp => self.xmpp.get_or_init(|| Rc::new(script::starttls_xmpp())),
        }
    }
}

/// Where a speech stands when it cannot go on by itself.
pub(super) enum Turn {
    /// It waits, and is called again.
    Wait,
    StartTls,
    /// What is measured begins; before, if it is `done`, another has ended. To be called again.
    Round {
        done: bool,
    },
    Done,
    Failed(Fault),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Nothing,
    /// For what the server says, by the number of the wait.
    Answer(u64),
    Time {
        since: u64,
        counted: bool,
    },
    /// For room in the queue of what is sent.
    Room,
}

pub(super) struct Speech {
    talk: Talk,
    timeout: Duration,
    /// How long the present wait for an answer may take, to say so.
    patience: Duration,
    waits_for: Wait,
    /// When what it waits for is too late, or over.
    until: u64,
    alarm: Option<Alarm>,
    /// What its pauses took that do not count.
    pub(super) uncounted: u64,
}

#[derive(Clone, Copy)]
struct Alarm {
    id: TimerId,
    rings: u64,
}

/// A handler that follows a script.
pub(super) trait Speaks: Handler {
    /// Goes on with it; called when its time has come.
    fn speak(&mut self, conn: &mut Conn<'_>);

    /// The answer did not come in time.
    fn expired(&mut self, conn: &mut Conn<'_>, fault: Fault);

    /// While there is one.
    fn speech(&mut self) -> Option<(&mut Speech, &Swarm)>;
}

impl Speech {
    /// What a connection to this endpoint says before TLS.
    pub(super) fn preamble(swarm: &Swarm, preamble: Preamble, number: u64) -> Self {
        let script = swarm.scripts.preamble(preamble);
        Self::new(swarm, script, swarm.plan.endpoint(number), number, number, false)
    }

    /// The conversation of this number, on the connection of that.
    pub(super) fn conversation(swarm: &Swarm, connection: u64, number: u64) -> Self {
        let script = swarm.scripts.work.as_ref().expect("conversations have a script");
        let endpoint = swarm.plan.endpoint(number);
        let greeted = endpoint.preamble() == Some(Preamble::Smtp);
        Self::new(swarm, script, endpoint, connection, number, greeted)
    }

    fn new(
        swarm: &Swarm,
        script: &Rc<Script>,
        endpoint: &Endpoint,
        connection: u64,
        conversation: u64,
        greeted: bool,
    ) -> Self {
        let host = Arc::clone(endpoint.domain());
        let random = swarm.scripts.random.hash_one(conversation);
        let variables = Variables { host, connection, conversation, random };
        let timeout = swarm.plan.timeout;
        Self {
            talk: Talk::new(script, variables, greeted),
            timeout,
            patience: timeout,
            waits_for: Wait::Nothing,
            until: 0,
            alarm: None,
            uncounted: 0,
        }
    }

    /// Whether it rests, as its script says.
    pub(super) fn is_resting(&self) -> bool {
        matches!(self.waits_for, Wait::Time { .. })
    }

    /// Takes what came; whether that is of use, [`go_on`](Self::go_on) says, if it waits for it.
    pub(super) fn receive(&mut self, data: &[u8]) -> bool {
        self.talk.receive(data);
        matches!(self.waits_for, Wait::Answer(_) | Wait::Nothing)
    }

    /// There is room again; whether that was waited for.
    pub(super) fn has_room(&self) -> bool {
        self.waits_for == Wait::Room
    }

    /// The server has ended the connection: what is wrong with that.
    pub(super) fn ended(&self) -> Result<(), Fault> {
        self.talk.ended()
    }

    /// Carries out all that can be; `sent` grows by what is sent.
    pub(super) fn go_on<H: Speaks>(
        &mut self,
        conn: &mut Conn<'_>,
        swarm: &Swarm,
        sent: &mut u64,
    ) -> Turn {
        if let Wait::Time { since, counted } = self.waits_for {
            self.waits_for = Wait::Nothing;
            if !counted {
                self.uncounted += swarm.clock.nanos() - since;
            }
        }
        loop {
            match self.talk.next(self.timeout) {
                Next::Send(bytes) => {
                    *sent += bytes.len() as u64;
                    // A refusal is told by `on_disconnect`.
                    if conn.write(bytes) == Written::High {
                        self.waits_for = Wait::Room;
                        return Turn::Wait;
                    }
                }
                Next::HalfClose => conn.half_close(),
                Next::Await { timeout, wait } => {
                    if self.waits_for != Wait::Answer(wait) {
                        self.waits_for = Wait::Answer(wait);
                        self.patience = timeout;
                        self.ring_after::<H>(conn, swarm, timeout);
                    }
                    return Turn::Wait;
                }
                Next::Pause { time, counted } => {
                    self.waits_for = Wait::Time { since: swarm.clock.nanos(), counted };
                    self.ring_after::<H>(conn, swarm, time);
                    return Turn::Wait;
                }
                Next::StartTls => {
                    self.waits_for = Wait::Nothing;
                    return Turn::StartTls;
                }
                Next::Round { done } => return Turn::Round { done },
                Next::Done => return Turn::Done,
                Next::Failed(fault) => return Turn::Failed(fault),
            }
        }
    }

    /// Sees to it that the alarm rings no later than then: one that rings too early is set anew.
    fn ring_after<H: Speaks>(&mut self, conn: &mut Conn<'_>, swarm: &Swarm, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.until = swarm.clock.nanos().saturating_add(nanos);
        if self.alarm.is_some_and(|alarm| alarm.rings <= self.until) {
            return;
        }
        self.hush(&mut conn.local());
        let connection = conn.id();
        let ring = move |local: &mut Local<'_>, _| {
            local.with::<H, _>(connection, |speaker, conn| Self::rings(speaker, conn)).flatten()
        };
        let id = conn.local().add_timer(time, ring);
        self.alarm = Some(Alarm { id, rings: self.until });
    }

    /// Gives when to ring again.
    fn rings<H: Speaks>(speaker: &mut H, conn: &mut Conn<'_>) -> Option<Duration> {
        let (speech, swarm) = speaker.speech()?;
        let now = swarm.clock.nanos();
        if now < speech.until {
            let alarm = speech.alarm.as_mut()?;
            alarm.rings = speech.until;
            return Some(Duration::from_nanos(speech.until - now));
        }
        // The timer ends here; what follows begins another.
        speech.alarm = None;
        match speech.waits_for {
            Wait::Time { .. } => speaker.speak(conn),
            Wait::Answer(_) => {
                let fault = speech.talk.expired(speech.patience);
                speaker.expired(conn, fault);
            }
            Wait::Nothing | Wait::Room => {}
        }
        None
    }

    /// Its time does not matter any more.
    pub(super) fn hush(&mut self, local: &mut Local<'_>) {
        if let Some(alarm) = self.alarm.take() {
            local.stop(alarm.id);
        }
    }
}
