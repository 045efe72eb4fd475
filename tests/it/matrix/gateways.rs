//! The gateways of the matrix, each from its example folder with nothing but addresses replaced.

use std::any::Any;
use std::net::SocketAddr;

use crate::support::{
    caddy::Caddy,
    envoy::{Envoy, Protocol},
    haproxy::{self, Haproxy},
    nginx::Nginx,
    traefik::{self, Traefik},
};

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// `auth_request`.
    Nginx,
    /// `forwardAuth`.
    Traefik,
    /// `forward_auth`.
    Caddy,
    /// The script in Lua.
    Haproxy,
    /// `ext_authz` over HTTP.
    EnvoyHttp,
    /// `ext_authz` over gRPC.
    EnvoyGrpc,
}

/// The neighbours of a gateway.
pub struct Site {
    /// The gate, over HTTP.
    pub gate: SocketAddr,
    /// The gate, over gRPC.
    pub asked: SocketAddr,
    /// The app.
    pub app: SocketAddr,
    /// The app of gRPC.
    pub calls: SocketAddr,
}

/// A gateway that runs; dropping it ends it.
pub struct Running {
    /// The address for clients of HTTP/1.
    pub http1: SocketAddr,
    /// The address for clients of HTTP/2.
    pub http2: SocketAddr,
    _process: Box<dyn Any>,
}

impl Gateway {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Nginx, Self::Traefik, Self::Caddy, Self::Haproxy, Self::EnvoyHttp, Self::EnvoyGrpc];

    /// The name, at the head of its column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "Traefik",
            Self::Caddy => "Caddy",
            Self::Haproxy => "HAProxy",
            Self::EnvoyHttp => "Envoy, HTTP",
            Self::EnvoyGrpc => "Envoy, gRPC",
        }
    }

    /// Starts it; `None` where it is not on this machine.
    pub fn start(self, site: &Site) -> Option<Running> {
        let to = site.calls.to_string();
        let edits = [(1, "127.0.0.1:8098", to.as_str())];
        let port = format!("port_value: {}", site.calls.port());
        let ports = [(1, "port_value: 8095", port.as_str())];
        Some(match self {
            Self::Nginx => {
                let nginx = Nginx::start(site.gate, site.app, &[("127.0.0.1:8098", &to)])?;
                let http2 = nginx.http2.expect("the example has a port for gRPC");
                Running { http1: nginx.address, http2, _process: Box::new(nginx) }
            }
            Self::Traefik => {
                let edits = traefik::Edits { routes: &edits, ..traefik::Edits::default() };
                let traefik = Traefik::start(site.gate, site.app, edits)?;
                Running::on_one_port(traefik.address, traefik)
            }
            Self::Caddy => {
                let caddy = Caddy::start(site.gate, site.app, &edits)?;
                Running::on_one_port(caddy.address, caddy)
            }
            Self::Haproxy => {
                let edits = haproxy::Edits { rules: &edits, ..haproxy::Edits::default() };
                let haproxy = Haproxy::start(site.gate, site.app, edits)?;
                Running::on_one_port(haproxy.address, haproxy)
            }
            Self::EnvoyHttp => {
                let envoy = Envoy::start(Protocol::Http, site.gate, site.app, &ports)?;
                Running::on_one_port(envoy.address, envoy)
            }
            Self::EnvoyGrpc => {
                let envoy = Envoy::start(Protocol::Grpc, site.asked, site.app, &ports)?;
                Running::on_one_port(envoy.address, envoy)
            }
        })
    }
}

impl Running {
    fn on_one_port(address: SocketAddr, process: impl Any) -> Self {
        Self { http1: address, http2: address, _process: Box::new(process) }
    }
}
