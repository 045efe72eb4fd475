//! Real nginx with what the controller ingress-nginx makes of the annotations in examples/ingress-nginx.
//!
//! The controller is not here. This is a rendition of our own of what its template (1.15) writes into a `location` and into that
//! of a question: each directive that decides what the gate, the app and the client get. Its rate limits, CORS, metrics and
//! balancing are left out.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpStream},
    path::Path,
};

use serde_json::Value;

use super::{found_or_skipped, free_address, nginx::Nginx, substituted, yaml};

/// The manifests.
pub const MANIFESTS: &str = "examples/ingress-nginx/ingress.yaml";
/// The address of the gate in them, and how often it stands there.
pub const GATE: (usize, &str) = (4, "http://portcullis.auth.svc.cluster.local:8080");
/// The folder of Debian's modules for nginx, and those that escape the way back as the controller's nginx does.
const MODULES: (&str, [&str; 2]) =
    ("/usr/lib/nginx/modules", ["ndk_http_module.so", "ngx_http_set_misc_module.so"]);
const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// The apps behind it.
#[derive(Clone, Copy)]
pub struct Apps {
    /// Behind most Ingresses.
    pub http: SocketAddr,
    /// Behind those with `backend-protocol: GRPC`; over HTTP/2 without TLS.
    pub grpc: SocketAddr,
}

/// Changes of a test: `(times, from, to)` in the manifests, and in what is made of them.
#[derive(Clone, Copy, Default)]
pub struct Edits<'e> {
    /// In the manifests.
    pub manifests: &'e [(usize, &'e str, &'e str)],
    /// In nginx' configuration.
    pub rendered: &'e [(usize, &'e str, &'e str)],
}

/// nginx with what the controller would have written.
pub struct Ingress {
    /// The process.
    pub nginx: Nginx,
    /// The address to which clients connect.
    pub address: SocketAddr,
    /// The same over HTTP/2, for the Ingresses with gRPC.
    pub grpc: SocketAddr,
}

impl Ingress {
    /// Starts it in front of the apps, asking `gate`; `None` where nginx, its modules or a reader of YAML is missing.
    pub fn start(gate: SocketAddr, apps: Apps, edits: Edits<'_>) -> Option<Self> {
        let modules = MODULES.1.map(|name| Path::new(MODULES.0).join(name));
        let there = modules.iter().all(|module| module.is_file());
        let modules = found_or_skipped("nginx' module set-misc", there.then_some(modules))?;
        let asked = format!("http://{gate}");
        let own = [(GATE.0, GATE.1, asked.as_str())];
        let text = substituted(MANIFESTS, &[&own, edits.manifests].concat());
        let manifests = Manifests(yaml::documents(&text)?);
        let (address, grpc) = (free_address(), free_address());
        let mut text = String::new();
        for module in modules {
            writeln!(text, "load_module {};", module.display()).expect("a String");
        }
        text.push_str(&manifests.rendered(apps, address, grpc));
        for (times, from, to) in edits.rendered {
            assert_eq!(text.matches(from).count(), *times, "{from:?} in {text}");
            text = text.replace(from, to);
        }
        let mut nginx = Nginx::run(&text, address)?;
        nginx.wait_until(|| TcpStream::connect(grpc).is_ok());
        Some(Self { nginx, address, grpc })
    }
}

/// The documents of the file.
pub struct Manifests(pub Vec<Value>);

impl Manifests {
    /// The data of a ConfigMap that another document calls `namespace/name`.
    pub fn config_map(&self, called: &str) -> Vec<(&str, &str)> {
        let found = self.0.iter().find(|document| {
            let of = |key: &str| document["metadata"][key].as_str().unwrap_or_default();
            document["kind"] == "ConfigMap"
                && format!("{}/{}", of("namespace"), of("name")) == called
        });
        let data = found.unwrap_or_else(|| panic!("no ConfigMap {called}"))["data"].as_object();
        let texts = data.expect("data").iter();
        texts.map(|(name, value)| (name.as_str(), value.as_str().expect("a text"))).collect()
    }

    /// One of the controller's own settings.
    fn setting(&self, name: &str) -> &str {
        let all = self.config_map("ingress-nginx/ingress-nginx-controller");
        all.into_iter().find(|(key, _)| *key == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    /// The Ingresses.
    pub fn ingresses(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(|document| document["kind"] == "Ingress")
    }

    fn rendered(&self, apps: Apps, address: SocketAddr, grpc: SocketAddr) -> String {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path run/{name};\n"))
            .concat();
        let (by_grpc, by_http): (Vec<_>, Vec<_>) =
            self.ingresses().partition(|ingress| is_grpc(ingress));
        format!(
            "daemon off;\npid run/nginx.pid;\nerror_log stderr notice;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
             underscores_in_headers off;\nignore_invalid_headers on;\nlarge_client_header_buffers {};\n\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
             server {{\nlisten {address};\nserver_name _;\n{}}}\nserver {{\nlisten {grpc} http2;\nserver_name _;\n{}}}\n}}\n",
            self.setting("large-client-header-buffers"),
            self.locations(&by_http, &format!("proxy_pass http://{};", apps.http)),
            self.locations(&by_grpc, &format!("grpc_pass grpc://{};", apps.grpc)),
        )
    }

    fn locations(&self, ingresses: &[&Value], pass: &str) -> String {
        let mut text = String::new();
        for (number, ingress) in ingresses.iter().enumerate() {
            let question = format!("/_external-auth-{number}");
            text.push_str(&self.question(ingress, &question));
            let path = ingress["spec"]["rules"][0]["http"]["paths"][0]["path"].as_str();
            let path = path.expect("a path").trim_end_matches('/');
            let exact = format!("= \"{path}\"");
            let below = format!("\"{path}/\"");
            let places = if path.is_empty() { vec![&below] } else { vec![&exact, &below] };
            for place in places {
                let body = self.location(ingress, &question, number);
                write!(text, "location {place} {{\n{body}{pass}\n}}\n").expect("a String");
            }
        }
        text
    }

    /// The inner location that asks, and that which leads to the login page.
    fn question(&self, ingress: &Value, place: &str) -> String {
        let Some(url) = annotation(ingress, "auth-url") else { return String::new() };
        let host = url.split('/').nth(2).and_then(|host| host.split(':').next()).expect("a host");
        let mut text = format!(
            "location = {place} {{\ninternal;\nproxy_pass_request_body off;\nproxy_pass_request_headers on;\n\
             proxy_set_header Content-Length \"\";\nproxy_set_header X-Forwarded-Proto \"\";\n\
             proxy_set_header X-Request-ID $request_id;\nproxy_set_header Host {host};\n\
             proxy_set_header X-Original-URL $scheme://$http_host$request_uri;\n\
             proxy_set_header X-Original-Method $request_method;\n\
             proxy_set_header X-Sent-From nginx-ingress-controller;\nproxy_set_header X-Real-IP $remote_addr;\n\
             proxy_set_header X-Forwarded-For $remote_addr;\n\
             proxy_set_header X-Auth-Request-Redirect $request_uri;\nproxy_http_version 1.1;\n{}",
            buffers(ingress)
        );
        if let Some(called) = annotation(ingress, "auth-proxy-set-headers") {
            for (name, value) in self.config_map(called) {
                writeln!(text, "proxy_set_header \"{name}\" \"{value}\";").expect("a String");
            }
        }
        write!(text, "set $target \"{url}\";\nproxy_pass $target;\n}}\n").expect("a String");
        if let Some(url) = annotation(ingress, "auth-signin") {
            let name = place.replace("/_", "@signin-");
            write!(text, "location {name} {{\ninternal;\nreturn 302 {url};\n}}\n")
                .expect("a String");
        }
        text
    }

    /// A location of the app, but for the line that passes the request on.
    fn location(&self, ingress: &Value, question: &str, number: usize) -> String {
        let set = if is_grpc(ingress) { "grpc_set_header" } else { "proxy_set_header" };
        let mut text = String::new();
        if annotation(ingress, "auth-url").is_some() {
            writeln!(text, "auth_request {question};").expect("a String");
            let headers = annotation(ingress, "auth-response-headers").unwrap_or_default();
            for (index, name) in headers.split(',').map(str::trim).enumerate() {
                let variable = name.to_lowercase().replace('-', "_");
                write!(
                    text,
                    "auth_request_set $authHeader{index} $upstream_http_{variable};\n{set} '{name}' $authHeader{index};\n"
                )
                .expect("a String");
            }
        }
        if annotation(ingress, "auth-signin").is_some() {
            write!(
                text,
                "set_escape_uri $escaped_request_uri $request_uri;\nerror_page 401 = @signin-external-auth-{number};\n"
            )
            .expect("a String");
        }
        for (name, value) in OWN_HEADERS {
            writeln!(text, "{set} {name} {value};").expect("a String");
        }
        for (name, value) in self.config_map(self.setting("proxy-set-headers")) {
            writeln!(text, "{set} {name} \"{value}\";").expect("a String");
        }
        text.push_str("proxy_http_version 1.1;\nclient_max_body_size 1m;\n");
        text + buffers(ingress).as_str()
    }
}

/// The headers that the controller sets on the way to an app, whatever is asked.
const OWN_HEADERS: [(&str, &str); 14] = [
    ("Host", "$http_host"),
    ("Upgrade", "$http_upgrade"),
    ("Connection", "$connection_upgrade"),
    ("X-Request-ID", "$request_id"),
    ("X-Real-IP", "$remote_addr"),
    ("X-Forwarded-For", "$remote_addr"),
    ("X-Forwarded-Host", "$http_host"),
    ("X-Forwarded-Port", "$server_port"),
    ("X-Forwarded-Proto", "$scheme"),
    ("X-Forwarded-Scheme", "$scheme"),
    ("X-Scheme", "$scheme"),
    ("X-Original-Forwarded-For", "$http_x_forwarded_for"),
    ("X-Original-Forwarded-Host", "$http_x_forwarded_host"),
    ("Proxy", "\"\""),
];

/// An annotation of the controller's.
pub fn annotation<'m>(ingress: &'m Value, name: &str) -> Option<&'m str> {
    ingress["metadata"]["annotations"][format!("{PREFIX}{name}")].as_str()
}

fn is_grpc(ingress: &Value) -> bool {
    annotation(ingress, "backend-protocol") == Some("GRPC")
}

fn buffers(ingress: &Value) -> String {
    let size = annotation(ingress, "proxy-buffer-size").unwrap_or("4k");
    format!("proxy_buffer_size {size};\nproxy_buffers 4 {size};\n")
}
