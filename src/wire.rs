//! What services and the server tell each other beside requests and responses.

/// Put by a service into the extensions of its response: the request's body was read to its end.
///
/// Without it, an HTTP/1 connection whose request announced a body is closed after the answer,
/// since the body may never come. A service that ignores bodies need not know of this.
#[derive(Clone, Copy, Debug)]
pub struct BodyRead;
