//! A server's answer that a key is elsewhere.

use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use crate::store::redis::target::HostPort;

/// The server to which a command is to be sent that was not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Redirection {
    /// Another server has the key from now on.
    Moved(HostPort),
    /// Another server has to be asked this once: the key is moving.
    Ask(HostPort),
}

impl Redirection {
    /// The redirection in the answer of the server at `asked`, if it is one.
    pub(super) fn of(answer: &RedisResult<Value>, asked: &HostPort) -> Option<Self> {
        let error: &RedisError = match answer {
            Err(error) => error,
            Ok(Value::ServerError(error)) => &error.clone().into(),
            Ok(_) => return None,
        };
        let ErrorKind::Server(kind) = error.kind() else { return None };
        let to = || {
            let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
            // Without a host it means the server itself.
            let host = if host.is_empty() { asked.host.as_str() } else { host };
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            Some(HostPort { host, port: port.parse().ok()? })
        };
        match kind {
            ServerErrorKind::Moved => to().map(Self::Moved),
            ServerErrorKind::Ask => to().map(Self::Ask),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_is_read_and_nothing_else_is_one() {
        let at = |host: &str, port| HostPort { host: host.to_owned(), port };
        for (said, expected) in [
            ("-MOVED 3999 10.0.0.1:7001\r\n", Some(Redirection::Moved(at("10.0.0.1", 7001)))),
            ("-MOVED 3999 :7001\r\n", Some(Redirection::Moved(at("asked", 7001)))),
            ("-MOVED 3999 ::1:7001\r\n", Some(Redirection::Moved(at("::1", 7001)))),
            ("-ASK 3999 node.example:7001\r\n", Some(Redirection::Ask(at("node.example", 7001)))),
            // It is about a command of several keys, which a cluster does not get.
            ("-TRYAGAIN Multiple keys\r\n", None),
            ("-MOVED nowhere\r\n", None),
            ("-CLUSTERDOWN The cluster is down\r\n", None),
            ("-ERR wrong\r\n", None),
            ("+OK\r\n", None),
        ] {
            let answer = redis::parse_redis_value(said.as_bytes());
            let asked = at("asked", 7000);
            assert_eq!(Redirection::of(&answer, &asked), expected, "{said}");
            let extracted = answer.and_then(Value::extract_error);
            assert_eq!(Redirection::of(&extracted, &asked), expected, "{said}");
        }
    }
}
