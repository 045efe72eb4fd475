//! The OpenAPI document: what the routes say of themselves, and what holds of many of them, said once.

use utoipa::openapi::path::{HttpMethod, Operation, PathItem, Paths};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::server::{ServerBuilder, ServerVariableBuilder};
use utoipa::openapi::{self, RefOr, ResponseBuilder, Server};
use utoipa::{Modify, OpenApi};

use super::reply::ErrorBody;
use super::{WebConfig, paths};
use crate::opaque::CookiePair;

/// The tag of the routes of the internal listener.
const INTERNAL: &str = "internal";
/// The tag of the routes that a gateway asks of the gate.
const GATE: &str = "gate";

/// Paths, and others that are answered in the same way.
const SAME: [(&str, &str); 3] = [
    (paths::HEALTH, "/"),
    (paths::JWKS, paths::WELL_KNOWN_JWKS),
    (paths::VALIDATE_REQUEST, paths::VALIDATE_REQUEST_TRAEFIK),
];

/// Parts of the document beside its routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis",
        description = "Issues, refreshes and revokes tokens behind a gateway. Routes tagged \
                       `internal` are on the internal listener only, those tagged `gate` on the \
                       gate's.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "OAuth 2.0", description = "Tokens for applications (RFC 6749, 7009, 7662)"),
        (name = "Sessions", description = "A user's own sessions"),
        (name = "Accounts", description = "A user's own account, and how to get one"),
        (name = "API keys", description = "A user's own keys for programs"),
        (name = "Discovery", description = "Metadata and public keys, for clients"),
        (name = "Health", description = "State of this process"),
        (name = "jwthenticator", description = "The routes of jwthenticator's clients"),
        (name = "internal", description = "For administrators and other services of this host"),
        (name = "gate", description = "The question of a gateway before every request"),
    ),
    modifiers(&Schemes),
    paths(gates_validate, gates_validate_request),
    components(schemas(ErrorBody)),
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let mut add = |name, kind, what: &str| {
            let scheme = HttpBuilder::new().scheme(kind).description(Some(what)).build();
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        };
        add("basic", HttpAuthScheme::Basic, "A client, by its id and its secret");
        add("bearer", HttpAuthScheme::Bearer, "Somebody, by an access token");
        add("administrator", HttpAuthScheme::Bearer, "The administrator, by ADMIN_TOKEN");
    }
}

/// Say whether a token is good, for jwthenticator's clients
#[utoipa::path(
    post, path = paths::VALIDATE, tag = "jwthenticator",
    request_body = serde_json::Value,
    responses(
        (status = 200, description = "It is"),
        (status = 400, description = "The fields that are wrong, and why"),
        (status = 401, description = "It is not"),
        (status = 503, description = "That cannot be said now"),
    ),
)]
#[expect(dead_code, reason = "describes a route that the gate serves on this listener")]
fn gates_validate() {}

/// Say whether a request may pass, and whose it is
///
/// nginx asks at `/validate_request`, which is on the issuer's listener too, for jwthenticator's
/// clients; Traefik asks at `/validate_request/traefik`.
#[utoipa::path(
    get, path = paths::VALIDATE_REQUEST, tag = "gate", security(("bearer" = []), ("cookies" = [])),
    params(("scope" = Option<String>, Query, description = "Scopes that the token must have; may be repeated")),
    responses(
        (status = 200, description = "It may, and the headers say who it is"),
        (status = 401, description = "It may not: no good credentials"),
        (status = 403, description = "It may not: a scope is missing, or the gateway asks wrongly"),
        (status = 503, description = "That cannot be said now"),
    ),
)]
#[expect(dead_code, reason = "describes a route that the gate serves on this listener")]
fn gates_validate_request() {}

/// The document before any route of the issuer is in it.
pub(super) fn base_document() -> openapi::OpenApi {
    Document::openapi()
}

/// The document of these routes, for this configuration.
pub(super) fn complete(mut document: openapi::OpenApi, config: &WebConfig) -> openapi::OpenApi {
    document.servers = Some(vec![Server::new(config.public_url.as_str())]);
    let pair = config.cookies.unwrap_or(CookiePair::HOST);
    let cookie = ApiKeyValue::with_description(
        pair.token,
        "Where TOKEN_COOKIES is set: the access token, beside the cookie that names its user",
    );
    let cookies = SecurityScheme::ApiKey(ApiKey::Cookie(cookie));
    let components = document.components.get_or_insert_with(Default::default);
    components.add_security_scheme("cookies", cookies);
    for (path, other) in SAME {
        let item = document.paths.paths.get(path).cloned();
        document.paths.paths.extend(item.map(|item| (other.to_owned(), item)));
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete_operation(operation, method, path, config);
        }
    }
    rename_token(&mut document.paths, &config.token_path);
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("get", item.get.as_mut()),
        ("post", item.post.as_mut()),
        ("put", item.put.as_mut()),
        ("patch", item.patch.as_mut()),
        ("delete", item.delete.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}

/// Completes an operation by what follows from its path and its tag.
fn complete_operation(operation: &mut Operation, method: &str, path: &str, config: &WebConfig) {
    // No two operations have method and path in common, so no two have this.
    operation.operation_id = Some(operation_id(method, path));
    let is_tagged = |tag: &str| operation.tags.iter().flatten().any(|it| it == tag);
    let (is_internal, is_gates) = (is_tagged(INTERNAL), is_tagged(GATE));
    if is_internal {
        let url = format!("{}://{{internal}}", config.internal_scheme);
        let internal = elsewhere("internal", &url, "127.0.0.1:8082", "INTERNAL_LISTEN");
        operation.servers = Some(vec![internal]);
    } else if is_gates {
        let url = format!("{}://{{gate}}", config.gate_scheme);
        operation.servers = Some(vec![elsewhere("gate", &url, "127.0.0.1:8080", "LISTEN")]);
    }
    if is_gates {
        return;
    }
    for (status, meaning) in OF_ALL {
        add(operation, status, meaning);
    }
    let of_internal = OF_INTERNAL.iter().filter(|_| is_internal);
    let has_body = operation.request_body.is_some();
    let of_bodies = OF_BODIES.iter().filter(|_| has_body);
    for (status, meaning) in of_internal.chain(of_bodies) {
        add(operation, status, meaning);
    }
}

/// `delete_sessions_id` of `DELETE /sessions/{id}`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<&str> = std::iter::once(method).chain(words).collect();
    if words.len() == 1 { format!("{method}_root") } else { words.join("_") }
}

/// Answers that any request may get.
const OF_ALL: [(&str, &str); 4] = [
    ("400", "The request cannot be read"),
    ("408", "Its body took longer than 10 seconds"),
    ("413", "Its body is larger than 64 KiB"),
    ("503", "A store does not answer, or too many requests are under way; see Retry-After"),
];
/// Answers that any request to the internal listener may get.
const OF_INTERNAL: [(&str, &str); 3] = [
    ("401", "The administrator's token is missing or wrong"),
    ("403", "The listener was called by a name that is not its own, or through a proxy or a page"),
    ("429", "Too many wrong tokens from this address; see Retry-After"),
];
/// Answers that any request with a body may get.
const OF_BODIES: [(&str, &str); 1] = [("429", "Too many attempts; see Retry-After")];

/// Adds an answer where the route itself says nothing of it.
fn add(operation: &mut Operation, status: &str, meaning: &str) {
    let answer = || RefOr::T(ResponseBuilder::new().description(meaning).build());
    operation.responses.responses.entry(status.to_owned()).or_insert_with(answer);
}

/// Another listener, whose address the document does not give away.
fn elsewhere(name: &str, url: &str, usual: &str, setting: &str) -> Server {
    let variable = ServerVariableBuilder::new().default_value(usual);
    let variable = variable.description(Some(format!("What {setting} says")));
    let server = ServerBuilder::new().url(url);
    server.description(Some(format!("The {name} listener"))).parameter(name, variable).build()
}

/// The document names the token endpoint as TOKEN_URL has it.
fn rename_token(named: &mut Paths, token_path: &str) {
    if let Some(item) = named.paths.remove(paths::TOKEN) {
        named.paths.insert(token_path.to_owned(), item);
    }
    debug_assert!(named.get_path_operation(token_path, HttpMethod::Post).is_some());
}
