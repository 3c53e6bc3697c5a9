//! One scenario: what the server side is, what its peers do, and how the record is looked at.
//!
//! Never: runs anything.

use crate::action::{Actions, actions};
use crate::fields::{Fields, Outcome};
use crate::settings::Settings;
use crate::step::{Step, script};
use crate::trace::View;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The callbacks that a listener may have, by their names in a scenario.
const CALLBACKS: [&str; 10] = [
    "connect",
    "incoming",
    "disconnect",
    "predrain",
    "drain",
    "readtimeout",
    "status",
    "starttls",
    "attach",
    "detach",
];

/// A scenario, as its file says.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) settings: Settings,
    pub(crate) servers: Vec<Server>,
    pub(crate) listeners: HashMap<String, Arc<Listener>>,
    pub(crate) start: Actions,
    pub(crate) clients: Vec<Client>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) extra_ports: Vec<String>,
    pub(crate) duration: Duration,
    pub(crate) fd_headroom: Option<usize>,
    pub(crate) log_errors: bool,
    /// Two connections may have to be on one shard.
    pub(crate) links: bool,
    pub(crate) view: View,
    /// The trace that ours must give, if it is not the recorded one.
    pub(crate) want: Option<Value>,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) label: String,
    pub(crate) listener: String,
    /// The certificate, for TLS from the first byte.
    pub(crate) tls: Option<String>,
    /// Hosts and their certificates.
    pub(crate) sni: Vec<(String, String)>,
    pub(crate) read_size: Option<usize>,
}

/// What a listener does in its callbacks; one that it lacks is not there.
#[derive(Debug)]
pub(crate) struct Listener {
    callbacks: HashMap<&'static str, Actions>,
    pub(crate) on_error: bool,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) label: String,
    pub(crate) to: String,
    pub(crate) script: Vec<Step>,
    pub(crate) rcvbuf: Option<usize>,
    pub(crate) keep_open: bool,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) label: String,
    pub(crate) kind: Kind,
    pub(crate) script: Vec<Step>,
    pub(crate) rcvbuf: Option<usize>,
    pub(crate) keep_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Accept,
    Refused,
    Blackhole,
}

impl Listener {
    /// What is done in this callback; `None` when the listener lacks it.
    pub(crate) fn callback(&self, name: &str) -> Option<&Actions> {
        self.callbacks.get(name)
    }

    fn parse(name: &str, value: Value) -> Outcome<Self> {
        let mut fields = Fields::of(format!("listener {name:?}"), value)?;
        let mut callbacks = HashMap::new();
        for callback in CALLBACKS {
            match fields.take(callback) {
                None => callbacks.insert(callback, Actions::default()),
                Some(Value::Bool(false)) => continue,
                Some(Value::Array(list)) => callbacks.insert(callback, actions(list)?),
                Some(other) => {
                    return Err(format!("listener {name:?}: {callback:?} is {other}"));
                }
            };
        }
        let on_error = fields.is_set("onerror")?;
        fields.end()?;
        Ok(Self { callbacks, on_error })
    }
}

impl Scenario {
    /// Reads a scenario's file.
    pub(crate) fn load(path: &Path) -> Outcome<Self> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let links = text.contains("\"link\"");
        Self::parse(value, links)
    }

    fn parse(value: Value, links: bool) -> Outcome<Self> {
        let mut fields = Fields::of("the scenario", value)?;
        // For people, and for the recording of the reference's traces.
        for key in ["name", "about", "rules", "reference", "want_why"] {
            fields.take(key);
        }
        let mut listeners = HashMap::new();
        for (name, value) in fields.entries("listeners")? {
            let listener = Listener::parse(&name, value)?;
            listeners.insert(name, Arc::new(listener));
        }
        let duration = fields.number("duration_ms")?.unwrap_or(500.0) / 1000.0;
        let mut settings = Settings::parse(fields.entries("config")?)?;
        settings.choose_policy(listeners.values().any(|listener| listener.on_error));
        let this = Self {
            settings,
            servers: each(fields.list("servers")?, server)?,
            listeners,
            start: actions(fields.list("start")?)?,
            clients: each(fields.list("clients")?, client)?,
            upstreams: each(fields.list("upstreams")?, upstream)?,
            extra_ports: fields.texts("extra_ports")?,
            duration: crate::fields::seconds(duration),
            fd_headroom: fields.size("fd_headroom")?,
            log_errors: fields.is_set("log_errors")?,
            links,
            view: View::parse(&mut fields)?,
            want: fields.take("want"),
        };
        fields.end()?;
        Ok(this)
    }

    /// A listener by its name.
    pub(crate) fn listener(&self, name: &str) -> Outcome<Arc<Listener>> {
        let found = self.listeners.get(name).map(Arc::clone);
        found.ok_or_else(|| format!("there is no listener {name:?}"))
    }

    /// Whether an argument of `tls-failed` of this label is compared.
    pub(crate) fn asks_reason(&self, label: &str) -> bool {
        let scripts = self
            .clients
            .iter()
            .map(|client| (&client.label, &client.script))
            .chain(self.upstreams.iter().map(|upstream| (&upstream.label, &upstream.script)));
        let mut own = scripts.filter(|(of, _)| label.strip_suffix('!') == Some(of));
        own.any(|(_, script)| {
            script.iter().any(|step| matches!(step, Step::Tls(tls) if tls.reason))
        })
    }
}

fn each<T>(list: Vec<Value>, parse: impl FnMut(Value) -> Outcome<T>) -> Outcome<Vec<T>> {
    list.into_iter().map(parse).collect()
}

fn server(value: Value) -> Outcome<Server> {
    let mut fields = Fields::of("a server", value)?;
    let direct = match fields.text("tls")?.as_deref() {
        None => false,
        Some("direct") => true,
        Some(other) => return Err(format!("a server: unknown kind of TLS {other:?}")),
    };
    let cert = fields.text("cert")?.unwrap_or_else(|| "default".into());
    let this = Server {
        label: fields.need_text("label")?,
        listener: fields.need_text("listener")?,
        tls: direct.then_some(cert),
        sni: fields.entries("sni")?.into_iter().map(host).collect::<Outcome<_>>()?,
        read_size: fields.size("read_size")?,
    };
    fields.end()?;
    Ok(this)
}

/// A host and the name of its certificate.
fn host((host, cert): (String, Value)) -> Outcome<(String, String)> {
    match cert {
        Value::String(cert) => Ok((host, cert)),
        other => Err(format!("the certificate of {host:?} is {other}: it must be a name")),
    }
}

fn client(value: Value) -> Outcome<Client> {
    let mut fields = Fields::of("a client", value)?;
    let this = Client {
        label: fields.need_text("label")?,
        to: fields.need_text("to")?,
        script: script(fields.list("script")?)?,
        rcvbuf: fields.size("rcvbuf")?,
        keep_open: fields.is_set("keep_open")?,
    };
    fields.end()?;
    Ok(this)
}

fn upstream(value: Value) -> Outcome<Upstream> {
    let mut fields = Fields::of("an upstream", value)?;
    let this = Upstream {
        label: fields.need_text("label")?,
        kind: match fields.text("kind")?.as_deref() {
            None | Some("accept") => Kind::Accept,
            Some("refused") => Kind::Refused,
            Some("blackhole") => Kind::Blackhole,
            Some(other) => return Err(format!("an upstream: unknown kind {other:?}")),
        },
        script: script(fields.list("script")?)?,
        rcvbuf: fields.size("rcvbuf")?,
        keep_open: fields.is_set("keep_open")?,
    };
    fields.end()?;
    if this.script.iter().any(|step| matches!(step, Step::Connect)) {
        return Err(format!("upstream {:?} cannot connect", this.label));
    }
    Ok(this)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(value: Value) -> String {
        Scenario::parse(value, false).expect_err("it is wrong")
    }

    #[test]
    fn what_is_not_known_is_an_error_and_named() {
        assert_eq!(fault(json!({"durations": 1})), "the scenario: unknown key \"durations\"");
        assert_eq!(fault(json!({"start": [{"do": "fly"}]})), "unknown verb \"fly\"");
        let action = json!({"start": [{"do": "closeall", "t": 1}]});
        assert_eq!(fault(action), "action \"closeall\": unknown key \"t\"");
        let nested = json!({"listeners": {"L": {"connect": [
            {"do": "after", "t": 1, "then": [{"do": "write", "text": "x"}]},
        ]}}});
        assert!(fault(nested).contains("write"));
        let callback = json!({"listeners": {"L": {"onconnect": []}}});
        assert_eq!(fault(callback), "listener \"L\": unknown key \"onconnect\"");
        let step = json!({"clients": [{"label": "c", "to": "s", "script": [{"hop": 1}]}]});
        assert_eq!(fault(step), "unknown step \"hop\"");
        assert_eq!(fault(json!({"config": {"speed": 1}})), "config: \"speed\" cannot be 1");
        let kind = json!({"upstreams": [{"label": "u", "kind": "slow"}]});
        assert_eq!(fault(kind), "an upstream: unknown kind \"slow\"");
    }

    #[test]
    fn a_listener_has_all_callbacks_but_those_it_is_denied() {
        let listeners = json!({"L": {"connect": [{"do": "close"}], "drain": false}});
        let scenario = Scenario::parse(json!({"listeners": listeners}), false).expect("right");
        let listener = scenario.listener("L").expect("it is there");
        assert_eq!(listener.callback("connect").map(|actions| actions.len()), Some(1));
        assert_eq!(listener.callback("incoming").map(|actions| actions.len()), Some(0));
        assert!(listener.callback("drain").is_none());
        assert!(scenario.listener("M").is_err());
    }
}
