//! Routes of the issuer: their paths, and their callers.

use http::{HeaderName, Method};

use super::reader::Reader;
use super::settings;
use crate::issuer::http::{CorsConfig, InternalConfig, Pages, WebConfig, paths};
use crate::policy::ReadOnlyRoles;
use crate::server::ListenerConfig;

/// Reads what is decided about the routes.
pub(super) fn read(
    reader: &mut Reader<'_>,
    public_url: String,
    internal: &ListenerConfig,
    gate: &ListenerConfig,
) -> WebConfig {
    let web = WebConfig {
        public_url,
        token_path: reader.get(settings::TOKEN_URL),
        cookies: reader.get(settings::TOKEN_COOKIES),
        trusted_proxies: reader.get(settings::TRUSTED_PROXIES),
        admin_token: reader.get(settings::ADMIN_TOKEN),
        internal: internal_config(reader, internal),
        internal_scheme: internal.scheme(),
        gate_scheme: gate.scheme(),
        disable_external: reader.get(settings::DISABLE_EXTERNAL_API),
        disable_internal: reader.get(settings::DISABLE_INTERNAL_API),
        pages: Pages {
            openapi: reader.get(settings::OPENAPI_URL),
            docs: reader.get(settings::DOCS_URL),
            redoc: reader.get(settings::REDOC_URL),
        },
        cors: cors(reader),
        read_only: ReadOnlyRoles::default(),
    };
    check_paths(reader, &web);
    web
}

/// Callers that the internal listener lets through without the administrator's token.
fn internal_config(reader: &mut Reader<'_>, listen: &ListenerConfig) -> InternalConfig {
    let has_token = reader.is_named(settings::ADMIN_TOKEN);
    let is_local_only = listen.is_loopback();
    let open_registration = reader.get(settings::OPEN_KEY_REGISTRATION);
    if !is_local_only && !has_token {
        let problem = "can be reached from other hosts: set ADMIN_TOKEN_FILE too";
        reader.wrong(settings::INTERNAL_LISTEN, problem);
    }
    if !is_local_only && open_registration {
        reader.wrong(
            settings::OPEN_KEY_REGISTRATION,
            "any host that reaches INTERNAL_LISTEN could register keys: it is for loopback alone",
        );
    }
    let is_off = listen.addresses.is_empty();
    if open_registration && (is_off || reader.get(settings::DISABLE_INTERNAL_API)) {
        reader.warn(
            settings::OPEN_KEY_REGISTRATION,
            "has no effect: INTERNAL_LISTEN or DISABLE_INTERNAL_API switches its routes off",
        );
    }
    // A socket that everybody may open guards nothing.
    let is_for_everybody = reader.get(settings::SOCKET_MODE) & 0o006 != 0;
    let is_socket = !is_off && !listen.has_tcp();
    let socket_is_guarded = !has_token && is_socket && !is_for_everybody;
    InternalConfig { is_local_only, socket_is_guarded, open_registration }
}

/// A route must not stand where another does.
fn check_paths(reader: &mut Reader<'_>, web: &WebConfig) {
    let pages = &web.pages;
    let named = [
        (settings::TOKEN_URL.entry, Some(&web.token_path)),
        (settings::OPENAPI_URL.entry, pages.openapi.as_ref()),
        (settings::DOCS_URL.entry, pages.docs.as_ref()),
        (settings::REDOC_URL.entry, pages.redoc.as_ref()),
    ];
    for (place, (setting, path)) in named.iter().enumerate() {
        let Some(path) = path else { continue };
        let is_own = *setting == settings::TOKEN_URL.entry && path.as_str() == paths::TOKEN;
        let docs = web.pages.docs.as_ref();
        let is_below = docs.is_some_and(|docs| path.starts_with(&format!("{docs}/")));
        let is_twice = named[..place].iter().any(|(_, other)| *other == Some(*path));
        if (paths::is_taken(path) && !is_own) || is_below || is_twice {
            reader.wrong(*setting, format!("{path} is another route's"));
        }
    }
}

fn cors(reader: &mut Reader<'_>) -> Option<CorsConfig> {
    let is_on = reader.get(settings::ENABLE_CORS);
    let origins = reader.each(settings::CORS_URLS, origin);
    let credentials = reader.get(settings::CORS_ALLOW_CREDENTIALS);
    if credentials && origins.iter().any(|origin| origin == "*") {
        reader.wrong(
            settings::CORS_ALLOW_CREDENTIALS,
            "every page could act for its visitors: name the origins",
        );
    }
    let methods = reader.each(settings::CORS_ALLOW_METHODS, |text| {
        Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_err(|_| "is no method")
    });
    let headers = reader.each(settings::CORS_ALLOW_HEADERS, |text| {
        HeaderName::from_bytes(text.as_bytes()).map_err(|_| "is no header")
    });
    (is_on && !origins.is_empty()).then_some(CorsConfig { origins, credentials, methods, headers })
}

fn origin(text: &str) -> Result<String, &'static str> {
    let host = text.split_once("://").map_or(text, |(_, host)| host);
    let inner = host.strip_prefix("*.").unwrap_or(host);
    if text != "*" && (inner.is_empty() || inner.contains(['*', '/', ' '])) {
        return Err("is no origin such as https://app.example or *.example");
    }
    Ok(text.to_owned())
}
