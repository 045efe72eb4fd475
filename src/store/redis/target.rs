//! The target of a URL: one server, the sentinels of one, or the servers of a cluster.
//!
//! The `url` crate does not read a URL of several hosts, so its authority is taken apart here.

use std::collections::HashSet;
use std::fmt;
use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo};
use url::{Host, form_urlencoded};

use super::address::{Address, InvalidAddress};
use crate::secret::Secret;

/// The usual port of sentinels.
const SENTINEL_PORT: u16 = 26_379;
/// The usual port of servers.
const SERVER_PORT: u16 = 6_379;

/// The target of a URL.
pub(super) enum Target {
    /// One server.
    Server(Box<Address>),
    /// The server that the sentinels name as the master of that name.
    Sentinel {
        /// The sentinels.
        sentinels: Vec<Address>,
        /// Their name for the master.
        master: String,
        /// The credentials and TLS for the master.
        access: Access,
    },
    /// A cluster.
    Cluster {
        /// Some of its servers, which know the others.
        seeds: Vec<HostPort>,
        /// The credentials and TLS for each.
        access: Access,
    },
}

/// A server among several.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct HostPort {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The credentials and TLS for all servers of one kind.
#[derive(Clone)]
pub(super) struct Access {
    /// Name, password and number of the database.
    settings: RedisConnectionInfo,
    is_tls: bool,
    ca_pem: Option<Vec<u8>>,
    wants_resp2: bool,
}

impl Access {
    /// The address of a server.
    ///
    /// # Errors
    /// [`InvalidAddress`] where the CA cannot be used.
    pub(super) fn address_of(&self, server: &HostPort) -> Result<Address, InvalidAddress> {
        let HostPort { host, port } = server.clone();
        let at = if self.is_tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = at.into_connection_info().map_err(|_| InvalidAddress::Host)?;
        let info = info.set_redis_settings(self.settings.clone());
        Address::new(&info, self.ca_pem.as_deref(), self.wants_resp2)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access {{ tls: {} }}", self.is_tls)
    }
}

impl Target {
    /// Reads a URL. `database` wins over the URL's number; a cluster has only number 0.
    ///
    /// # Errors
    /// [`InvalidAddress`], which never repeats the URL.
    pub(super) fn parse(
        url: &Secret,
        database: u32,
        ca_pem: Option<&[u8]>,
    ) -> Result<Self, InvalidAddress> {
        let text = url.expose_str().map(str::trim).ok_or(InvalidAddress::NotAUrl)?;
        let several = text.split_once("://").and_then(|(scheme, rest)| {
            let (base, kind) = scheme.split_once('+')?;
            matches!(kind, "sentinel" | "cluster").then_some((base, kind, rest))
        });
        let Some((base, kind, rest)) = several else {
            return Address::parse(url, database, ca_pem).map(|at| Self::Server(Box::new(at)));
        };
        let is_tls = match base {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(InvalidAddress::Scheme),
        };
        let parts = Parts::of(rest)?;
        let is_cluster = kind == "cluster";
        let access = |name: Option<&str>, password: Option<&str>, database| {
            let mut settings = RedisConnectionInfo::default().set_db(i64::from(database));
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                settings = settings.set_username(name);
            }
            if let Some(password) = password {
                settings = settings.set_password(password);
            }
            let ca_pem = ca_pem.map(<[u8]>::to_vec);
            Access { settings, is_tls, ca_pem, wants_resp2: parts.wants_resp2 }
        };
        let name_and_password = (parts.user.as_deref(), parts.password.as_deref());
        if is_cluster {
            let seeds = parts.hosts(SERVER_PORT)?;
            parts.names_nothing_more()?;
            let access = access(name_and_password.0, name_and_password.1, 0);
            // A mistake in the CA is found now.
            for seed in &seeds {
                access.address_of(seed)?;
            }
            return Ok(Self::Cluster { seeds, access });
        }
        let (user, password) = (parts.sentinel_user.as_deref(), parts.sentinel_password.as_deref());
        let to_sentinels = access(user, password, 0);
        let sentinels = parts.hosts(SENTINEL_PORT)?;
        let sentinels = sentinels.iter().map(|at| to_sentinels.address_of(at));
        Ok(Self::Sentinel {
            sentinels: sentinels.collect::<Result<_, _>>()?,
            master: parts.master()?,
            access: access(name_and_password.0, name_and_password.1, database),
        })
    }

    /// Its kind and place, for logs.
    pub(super) fn name(&self, database: u32) -> String {
        let joined = |mut names: Vec<String>| {
            names.sort();
            names.join(",")
        };
        match self {
            Self::Server(address) => address.name.clone(),
            Self::Sentinel { sentinels, master, .. } => {
                let hosts = sentinels.iter().map(|it| it.server.clone()).collect();
                format!("sentinel {} master {master} database {database}", joined(hosts))
            }
            Self::Cluster { seeds, .. } => {
                let hosts = seeds.iter().map(ToString::to_string).collect();
                format!("cluster {} prefix {database}", joined(hosts))
            }
        }
    }
}

/// The URL without its scheme.
struct Parts<'u> {
    user: Option<String>,
    password: Option<String>,
    hosts: &'u str,
    path: &'u str,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
    wants_resp2: bool,
}

impl<'u> Parts<'u> {
    fn of(rest: &'u str) -> Result<Self, InvalidAddress> {
        let rest = match rest.split_once('#') {
            None => rest,
            Some((_, "insecure")) => return Err(InvalidAddress::Insecure),
            Some(_) => return Err(InvalidAddress::NotEncoded),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // A path with these is the rest of a password that was cut at its own slash, and so is a
        // query.
        if path.contains(['@', ',', ':']) || query.contains('@') {
            return Err(InvalidAddress::NotEncoded);
        }
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, _)) if credentials.contains('@') => {
                return Err(InvalidAddress::NotEncoded);
            }
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (user, password) = credentials.map(|it| it.split_once(':').unwrap_or((it, ""))).unzip();
        let password = password.filter(|password| !password.is_empty());
        let mut parts = Self {
            user: user.map(decoded).transpose()?,
            password: password.map(decoded).transpose()?,
            hosts,
            path: path.trim_end_matches('/'),
            sentinel_user: None,
            sentinel_password: None,
            wants_resp2: false,
        };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match key.as_ref() {
                "sentinel_username" => parts.sentinel_user = Some(readable(&value)?),
                "sentinel_password" => parts.sentinel_password = Some(readable(&value)?),
                "protocol" => {
                    let protocol = match value.as_ref() {
                        "2" | "resp2" => ProtocolVersion::RESP2,
                        "3" | "resp3" => ProtocolVersion::RESP3,
                        _ => return Err(InvalidAddress::Credentials),
                    };
                    parts.wants_resp2 = protocol == ProtocolVersion::RESP2;
                }
                _ => return Err(InvalidAddress::Parameter),
            }
        }
        Ok(parts)
    }

    fn hosts(&self, usual_port: u16) -> Result<Vec<HostPort>, InvalidAddress> {
        let hosts: Vec<HostPort> = self
            .hosts
            .split(',')
            .map(|host| host_port(host, usual_port))
            .collect::<Result<_, _>>()?;
        let mut names = HashSet::new();
        // A sentinel that is named twice would have two votes.
        if hosts.iter().all(|host| names.insert(host)) {
            Ok(hosts)
        } else {
            Err(InvalidAddress::Repeated)
        }
    }

    /// The sentinels' name of the master.
    fn master(&self) -> Result<String, InvalidAddress> {
        let master = decoded(self.path).map_err(|_| InvalidAddress::Master)?;
        let is_name = !master.is_empty()
            && !master.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
        if is_name { Ok(master) } else { Err(InvalidAddress::Master) }
    }

    /// Checks that a cluster's URL ends after its hosts; only a number may follow, which is
    /// ignored.
    fn names_nothing_more(&self) -> Result<(), InvalidAddress> {
        if self.sentinel_user.is_some() || self.sentinel_password.is_some() {
            return Err(InvalidAddress::Parameter);
        }
        let is_number = self.path.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { Ok(()) } else { Err(InvalidAddress::NotEncoded) }
    }
}

fn host_port(text: &str, usual_port: u16) -> Result<HostPort, InvalidAddress> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(InvalidAddress::Host)?;
        let host: Ipv6Addr = host.parse().map_err(|_| InvalidAddress::Host)?;
        (Host::Ipv6(host), port)
    } else {
        let (host, port) = text.find(':').map_or((text, ""), |at| text.split_at(at));
        (Host::parse(host).map_err(|_| InvalidAddress::Host)?, port)
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => usual_port,
        Some(port) => port.parse().map_err(|_| InvalidAddress::Host)?,
        None => return Err(InvalidAddress::Host),
    };
    let (host, is_everywhere) = match host {
        Host::Domain(name) => (name, false),
        Host::Ipv4(address) => (address.to_string(), address.is_unspecified()),
        Host::Ipv6(address) => (address.to_string(), address.is_unspecified()),
    };
    if is_everywhere || port == 0 {
        return Err(InvalidAddress::Host);
    }
    Ok(HostPort { host, port })
}

fn decoded(text: &str) -> Result<String, InvalidAddress> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| InvalidAddress::Credentials)?;
    Ok(text.into_owned())
}

/// Refuses a text in which `form_urlencoded` replaced bytes that it could not read.
fn readable(text: &str) -> Result<String, InvalidAddress> {
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(InvalidAddress::Credentials);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
