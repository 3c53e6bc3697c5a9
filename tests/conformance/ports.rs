//! Sockets that are bound before time 0, and whose port is whose.
//!
//! Never: lets go of a port before the run is over.

use crate::fields::Outcome;
use crate::scenario::{Client, Kind, Scenario, Upstream};
use socket2::{Domain, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

/// How many may wait at an upstream.
const BACKLOG: i32 = 16;

/// The sockets of all scripts, and the ports of all labels.
pub(crate) struct Ports {
    /// In the order of the scenario's clients.
    pub(crate) clients: Vec<Socket>,
    /// In the order of the scenario's upstreams.
    pub(crate) upstreams: Vec<Socket>,
    /// Ports of upstreams, of clients and of listeners to come.
    pub(crate) by_label: HashMap<String, u16>,
    /// What keeps ports busy.
    held: Vec<Socket>,
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn socket() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::STREAM, None)
}

fn port_of(socket: &Socket) -> io::Result<u16> {
    let addr = socket.local_addr()?.as_socket();
    addr.map(|addr| addr.port()).ok_or_else(|| io::Error::other("not an internet socket"))
}

impl Ports {
    pub(crate) fn bind(scenario: &Scenario) -> Outcome<Self> {
        let mut this = Self {
            clients: Vec::new(),
            upstreams: Vec::new(),
            by_label: HashMap::new(),
            held: Vec::new(),
        };
        this.bind_all(scenario).map_err(|error| format!("cannot bind: {error}"))?;
        Ok(this)
    }

    fn bind_all(&mut self, scenario: &Scenario) -> io::Result<()> {
        for client in &scenario.clients {
            let socket = client_socket(client)?;
            self.by_label.insert(client.label.clone(), port_of(&socket)?);
            self.clients.push(socket);
        }
        for upstream in &scenario.upstreams {
            let socket = self.upstream_socket(upstream)?;
            self.by_label.insert(upstream.label.clone(), port_of(&socket)?);
            self.upstreams.push(socket);
        }
        for label in &scenario.extra_ports {
            // Held, but not listened on: whoever connects is refused, and with address reuse on
            // both sides it can still be listened on.
            let socket = socket()?;
            socket.set_reuse_address(true)?;
            socket.bind(&loopback(0).into())?;
            self.by_label.insert(label.clone(), port_of(&socket)?);
            self.held.push(socket);
        }
        Ok(())
    }

    fn upstream_socket(&mut self, upstream: &Upstream) -> io::Result<Socket> {
        let listener = socket()?;
        if let Some(size) = upstream.rcvbuf {
            // Inherited by what is accepted.
            listener.set_recv_buffer_size(size)?;
        }
        listener.bind(&loopback(0).into())?;
        match upstream.kind {
            Kind::Accept => listener.listen(BACKLOG)?,
            Kind::Refused => {}
            Kind::Blackhole => {
                listener.listen(0)?;
                let addr = loopback(port_of(&listener)?);
                // A backlog of 0 holds one; the others are there to be sure.
                for _ in 0..4 {
                    let filler = socket()?;
                    filler.set_nonblocking(true)?;
                    let _pending = filler.connect(&addr.into());
                    self.held.push(filler);
                }
            }
        }
        Ok(listener)
    }
}

fn client_socket(client: &Client) -> io::Result<Socket> {
    let socket = socket()?;
    if let Some(size) = client.rcvbuf {
        socket.set_recv_buffer_size(size)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.bind(&loopback(0).into())?;
    Ok(socket)
}
