//! What the server side is told to do: actions, as a scenario writes them.
//!
//! Never: does any of it; `perform` does.

use crate::fields::{Fields, Outcome, seconds};
use serde_json::Value;
use shardpoll::Wait;
use std::sync::Arc;
use std::time::Duration;

/// A list of actions, shared by all the callbacks that run it.
pub(crate) type Actions = Arc<Vec<Action>>;

/// One action and the conditions under which it is done.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) name: String,
    pub(crate) verb: Verb,
    /// The connection, server or watch it acts on, if not the one whose callback runs.
    pub(crate) conn: Option<String>,
    pub(crate) record: bool,
    pub(crate) n: Option<u64>,
    pub(crate) from_n: Option<u64>,
    pub(crate) is: Option<String>,
    pub(crate) has: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Verb {
    Write(Arc<[u8]>),
    Echo,
    Close,
    Destroy,
    Pause,
    Resume,
    PauseWrites,
    ResumeWrites,
    /// `None`: the clock is stopped, and nothing resumed.
    PauseFor(Option<Duration>),
    SetLimit(f64),
    SetMode(usize),
    SetReadTimeout(Wait),
    SetWriteTimeout(Wait),
    SetListener {
        listener: String,
        data: Value,
    },
    Starttls {
        cert: String,
        server: bool,
    },
    HasStarttls,
    Ssl,
    Server,
    Names,
    SetOption {
        name: String,
        value: Value,
    },
    Link {
        from: String,
        to: String,
        read_size: Option<usize>,
    },
    Return(Value),
    Error(String),
    Mark(String),
    After {
        time: Duration,
        then: Actions,
    },
    Timer(Arc<Timer>),
    Stop(String),
    Reschedule {
        id: String,
        time: Duration,
    },
    AddClient(Arc<Dial>),
    WrapClient(Arc<Dial>),
    Listen {
        label: String,
        listener: String,
        port_of: Option<String>,
    },
    Watch(Arc<WatchPlan>),
    AddEvent(Arc<EventPlan>),
    SetFlags {
        readable: Option<bool>,
        writable: Option<bool>,
    },
    CloseAll,
    SetQuitting(bool),
    Busy(Duration),
}

/// A timer of the scenario.
#[derive(Debug)]
pub(crate) struct Timer {
    pub(crate) id: String,
    pub(crate) time: Duration,
    pub(crate) param: Value,
    pub(crate) returns: Vec<Value>,
    pub(crate) error_at: Option<u64>,
    pub(crate) then: Actions,
}

/// An outgoing connection.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) label: String,
    pub(crate) to: String,
    pub(crate) port: Option<u16>,
    pub(crate) listener: String,
    pub(crate) tls: Option<String>,
    pub(crate) servername: Option<String>,
    pub(crate) read_size: Option<usize>,
    pub(crate) typ: Option<String>,
    pub(crate) then: Actions,
}

/// A watched descriptor.
#[derive(Debug)]
pub(crate) struct WatchPlan {
    pub(crate) label: String,
    pub(crate) to: String,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) partial: bool,
    pub(crate) close_at: Option<u64>,
}

/// A descriptor watched by the emulation.
#[derive(Debug)]
pub(crate) struct EventPlan {
    pub(crate) label: String,
    pub(crate) to: String,
    pub(crate) mode: String,
    pub(crate) returns: Vec<Value>,
}

/// Reads a list of actions.
pub(crate) fn actions(list: Vec<Value>) -> Outcome<Actions> {
    list.into_iter().map(Action::parse).collect::<Outcome<Vec<_>>>().map(Arc::new)
}

impl Action {
    fn parse(value: Value) -> Outcome<Self> {
        let mut fields = Fields::of("an action", value)?;
        let name = fields.need_text("do")?;
        fields.call(format!("action {name:?}"));
        let Some(verb) = verb(&name, &mut fields)? else {
            return Err(format!("unknown verb {name:?}"));
        };
        let this = Self {
            name,
            verb,
            conn: fields.text("conn")?,
            record: fields.is_set("record")?,
            n: fields.count("n")?,
            from_n: fields.count("from_n")?,
            is: fields.text("is")?,
            has: fields.text("has")?,
        };
        fields.end()?;
        Ok(this)
    }
}

fn verb(name: &str, fields: &mut Fields) -> Outcome<Option<Verb>> {
    if let Some(verb) = method(name, fields)? {
        return Ok(Some(verb));
    }
    Ok(Some(match name {
        "link" => Verb::Link {
            from: fields.need_text("from")?,
            to: fields.need_text("to")?,
            read_size: fields.size("read_size")?,
        },
        "return" => Verb::Return(fields.take("value").unwrap_or_default()),
        "error" => Verb::Error(fields.need_text("text")?),
        "mark" => Verb::Mark(fields.need_text("text")?),
        "after" => {
            Verb::After { time: fields.need_time("t")?, then: actions(fields.list("then")?)? }
        }
        "timer" => Verb::Timer(Arc::new(timer(fields)?)),
        "stop" => Verb::Stop(fields.need_text("id")?),
        "reschedule" => {
            Verb::Reschedule { id: fields.need_text("id")?, time: fields.need_time("t")? }
        }
        "addclient" => Verb::AddClient(Arc::new(dial(fields)?)),
        "wrapclient" => Verb::WrapClient(Arc::new(dial(fields)?)),
        "listen" => Verb::Listen {
            label: fields.need_text("label")?,
            listener: fields.need_text("listener")?,
            port_of: fields.text("port_of")?,
        },
        "watchfd" => Verb::Watch(Arc::new(watch(fields)?)),
        "addevent" => Verb::AddEvent(Arc::new(event(fields)?)),
        "setflags" => Verb::SetFlags { readable: fields.flag("r")?, writable: fields.flag("w")? },
        "closeall" => Verb::CloseAll,
        "setquitting" => Verb::SetQuitting(fields.flag("quit")?.unwrap_or(true)),
        "busy" => Verb::Busy(fields.need_time("t")?),
        _ => return Ok(None),
    }))
}

/// The verbs that are methods of a connection.
fn method(name: &str, fields: &mut Fields) -> Outcome<Option<Verb>> {
    Ok(Some(match name {
        "write" => Verb::Write(data(fields)?.into()),
        "echo" => Verb::Echo,
        "close" => Verb::Close,
        "destroy" => Verb::Destroy,
        "pause" => Verb::Pause,
        "resume" => Verb::Resume,
        "pause_writes" => Verb::PauseWrites,
        "resume_writes" => Verb::ResumeWrites,
        "pausefor" => match wait(fields)? {
            Wait::After(time) => Verb::PauseFor(Some(time)),
            _ => Verb::PauseFor(None),
        },
        "setlimit" => {
            let rate = fields.number("bps")?;
            Verb::SetLimit(fields.need("bps", rate)?)
        }
        "set_mode" => {
            let size = fields.size("size")?;
            Verb::SetMode(fields.need("size", size)?)
        }
        "setreadtimeout" => Verb::SetReadTimeout(wait(fields)?),
        "setwritetimeout" => Verb::SetWriteTimeout(wait(fields)?),
        "setlistener" => Verb::SetListener {
            listener: fields.need_text("listener")?,
            data: fields.take("data").unwrap_or_default(),
        },
        "starttls" => Verb::Starttls {
            cert: fields.text("cert")?.unwrap_or_else(|| "default".into()),
            server: match fields.text("mode")?.as_deref() {
                None | Some("server") => true,
                Some("client") => false,
                Some(other) => return Err(format!("starttls: unknown mode {other:?}")),
            },
        },
        "has_starttls" => Verb::HasStarttls,
        "ssl" => Verb::Ssl,
        "server" => Verb::Server,
        "names" => Verb::Names,
        "setoption" => Verb::SetOption {
            name: fields.need_text("name")?,
            value: fields.take("value").unwrap_or_default(),
        },
        _ => return Ok(None),
    }))
}

/// `data` or `fill`.
fn data(fields: &mut Fields) -> Outcome<Vec<u8>> {
    match (fields.text("data")?, fields.fill("fill")?) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(bytes)) => Ok(bytes),
        _ => Err(format!("{} must have either \"data\" or \"fill\"", fields.what())),
    }
}

/// `t`: a number, false for never, absent for what the configuration says.
fn wait(fields: &mut Fields) -> Outcome<Wait> {
    match fields.take("t") {
        None => Ok(Wait::Default),
        Some(Value::Bool(false)) => Ok(Wait::Off),
        Some(value) => match value.as_f64() {
            Some(number) => Ok(Wait::After(seconds(number))),
            None => Err(format!("{}: \"t\" is {value}", fields.what())),
        },
    }
}

fn timer(fields: &mut Fields) -> Outcome<Timer> {
    Ok(Timer {
        id: fields.need_text("id")?,
        time: fields.need_time("t")?,
        param: fields.take("param").unwrap_or_default(),
        returns: fields.list("returns")?,
        error_at: fields.count("error_at")?,
        then: actions(fields.list("then")?)?,
    })
}

fn dial(fields: &mut Fields) -> Outcome<Dial> {
    let port = fields.count("port")?.map(u16::try_from).transpose();
    Ok(Dial {
        label: fields.need_text("label")?,
        to: fields.need_text("to")?,
        port: port.map_err(|_| format!("{}: no such port", fields.what()))?,
        listener: fields.need_text("listener")?,
        tls: fields.text("tls")?,
        servername: fields.text("servername")?,
        read_size: fields.size("read_size")?,
        typ: fields.text("typ")?,
        then: actions(fields.list("then")?)?,
    })
}

fn watch(fields: &mut Fields) -> Outcome<WatchPlan> {
    // With us a watch always owns its descriptor, so a bare one is handed over like any other.
    fields.flag("numeric")?;
    Ok(WatchPlan {
        label: fields.need_text("label")?,
        to: fields.need_text("to")?,
        readable: fields.is_set("readable")?,
        writable: fields.is_set("writable")?,
        partial: fields.is_set("partial")?,
        close_at: fields.count("close_at")?,
    })
}

fn event(fields: &mut Fields) -> Outcome<EventPlan> {
    let plan = EventPlan {
        label: fields.need_text("label")?,
        to: fields.need_text("to")?,
        mode: fields.need_text("mode")?,
        returns: fields.list("returns")?,
    };
    match plan.mode.as_str() {
        "r" | "w" | "rw" => Ok(plan),
        other => Err(format!("addevent: unknown mode {other:?}")),
    }
}
