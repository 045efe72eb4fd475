//! The OpenAPI document, and two pages that show it: one to try things out in, and one to read,
//! without a script. Neither loads anything from elsewhere.

use std::fmt::Write as _;

use axum::Router;
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi as Document;
use utoipa_swagger_ui::SwaggerUi;

use super::reply::text_of_json;

/// Paths of the document and its pages; `None`: it is not served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// The document.
    pub openapi: Option<String>,
    /// The page to try things out in.
    pub docs: Option<String>,
    /// The page to read.
    pub redoc: Option<String>,
}

impl Pages {
    /// Their routes.
    pub(super) fn router<S: Clone + Send + Sync + 'static>(&self, document: Document) -> Router<S> {
        let mut router = Router::new();
        if let Some(path) = &self.redoc {
            let page = page(&json!(document));
            router = router.route(path, get(move || async move { readable(page) }));
        }
        if let Some(path) = &self.openapi {
            // In its order, which a `Value` would not keep.
            let text = document.to_json().unwrap_or_default();
            let answer = move || async move { text_of_json(http::StatusCode::OK, text) };
            router = router.route(path, get(answer));
        }
        if let Some(path) = &self.docs {
            // The page asks for the document by a path of its own, so that it works where the
            // document itself is not published.
            let document_path = format!("{path}/openapi.json");
            let page = Router::from(SwaggerUi::new(path.clone()).url(document_path, document));
            router = router.merge(page.layer(map_response(async |mut response: Response| {
                guard(&mut response, TRIES_OUT);
                response
            })));
        }
        router
    }
}

/// Policy of the page to read: it runs nothing and loads nothing.
const READS: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                     form-action 'none'; frame-ancestors 'none'";
/// Policy of the page to try things out in: it runs its own scripts, and calls the server that it
/// came from.
const TRIES_OUT: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                         img-src 'self' data:; font-src 'self'; connect-src 'self'; \
                         base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn readable(page: String) -> Response {
    let mut response = Html(page).into_response();
    guard(&mut response, READS);
    response
}

/// Keeps a page from loading what is not its own, and others from framing it. Whatever else keeps
/// browsers in bounds is on every answer.
fn guard(response: &mut Response, policy: &'static str) {
    let policy = HeaderValue::from_static(policy);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;\
padding:0 1rem}h2{border-top:1px solid #ccc;padding-top:1rem}h3 code{background:#eee;\
padding:.1rem .4rem;border-radius:.3rem}table{border-collapse:collapse}\
td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:left;vertical-align:top}";

/// The document as a page to read: what to call, with which fields, and what comes back.
fn page(document: &Value) -> String {
    let title = escaped(document["info"]["title"].as_str().unwrap_or("API"));
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1><p>{}</p>",
        escaped(document["info"]["description"].as_str().unwrap_or_default())
    );
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            write_operation(&mut page, path, method, operation);
        }
    }
    page.push_str("<h2>Fields</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        write_schema(&mut page, name, schema);
    }
    page
}

fn write_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let summary = escaped(operation["summary"].as_str().unwrap_or_default());
    let (method, path) = (escaped(&method.to_uppercase()), escaped(path));
    let _ = write!(page, "<h2>{summary}</h2><h3><code>{method} {path}</code></h3>");
    if let Some(text) = operation["description"].as_str() {
        let _ = write!(page, "<p>{}</p>", escaped(text));
    }
    for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let fields = reference(&content["schema"]);
        let _ = write!(page, "<p>Send {fields} as {}.</p>", escaped(media));
    }
    page.push_str("<table><tr><th>Status<th>Meaning<th>Body");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let meaning = escaped(answer["description"].as_str().unwrap_or_default());
        let body = reference(&answer["content"]["application/json"]["schema"]);
        let _ = write!(page, "<tr><td>{}<td>{meaning}<td>{body}", escaped(status));
    }
    page.push_str("</table>");
}

fn write_schema(page: &mut String, name: &str, schema: &Value) {
    let name = escaped(name);
    let _ = write!(page, "<h3 id=\"{name}\"><code>{name}</code></h3><table>");
    for (field, of) in schema["properties"].as_object().into_iter().flatten() {
        let meaning = escaped(of["description"].as_str().unwrap_or_default());
        let _ = write!(page, "<tr><td><code>{}</code><td>{meaning}", escaped(field));
    }
    page.push_str("</table>");
}

fn reference(schema: &Value) -> String {
    match schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        Some(name) => format!("<a href=\"#{0}\">{0}</a>", escaped(name)),
        None => String::new(),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
