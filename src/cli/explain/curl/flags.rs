//! The flags of curl that are known, and what each means for the request.

/// The meaning of a flag for the request that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// None that is judged.
    Nothing,
    /// The URL.
    Url,
    /// The method.
    Method,
    /// A header.
    Header,
    /// The value of this header.
    HeaderOf(&'static str),
    /// Cookies.
    Cookie,
    /// A user and a password.
    User,
    /// A bearer token.
    Bearer,
    /// A body.
    Data,
    /// A body that is escaped.
    EncodedData,
    /// A body in JSON.
    Json,
    /// A form with files.
    Form,
    /// A file that is sent.
    Upload,
    /// HEAD.
    Head,
    /// The data are a query.
    Get,
    /// Dots in the path stay.
    KeepDots,
    /// Braces and brackets stay.
    KeepGlobs,
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    letter: Option<char>,
    pub(super) takes_value: bool,
    pub(super) effect: Effect,
}

impl Flag {
    /// The flag of this name, without its dashes.
    pub(super) fn long(name: &str) -> Option<&'static Self> {
        FLAGS.iter().find(|flag| flag.name == name)
    }

    /// The flag of this letter.
    pub(super) fn short(letter: char) -> Option<&'static Self> {
        FLAGS.iter().find(|flag| flag.has_letter(letter))
    }

    /// Returns whether this is its letter.
    pub(super) fn has_letter(&self, letter: char) -> bool {
        self.letter == Some(letter)
    }
}

const fn value(letter: Option<char>, name: &'static str, effect: Effect) -> Flag {
    Flag { name, letter, takes_value: true, effect }
}

const fn switch(letter: Option<char>, name: &'static str, effect: Effect) -> Flag {
    Flag { name, letter, takes_value: false, effect }
}

/// The known flags (curl 8, `curl --help all`).
pub(super) const FLAGS: &[Flag] = &[
    value(None, "url", Effect::Url),
    value(Some('X'), "request", Effect::Method),
    value(Some('H'), "header", Effect::Header),
    value(Some('A'), "user-agent", Effect::HeaderOf("user-agent")),
    value(Some('e'), "referer", Effect::HeaderOf("referer")),
    value(Some('b'), "cookie", Effect::Cookie),
    value(Some('u'), "user", Effect::User),
    value(None, "oauth2-bearer", Effect::Bearer),
    value(Some('d'), "data", Effect::Data),
    value(None, "data-ascii", Effect::Data),
    value(None, "data-binary", Effect::Data),
    value(None, "data-raw", Effect::Data),
    value(None, "data-urlencode", Effect::EncodedData),
    value(None, "json", Effect::Json),
    value(Some('F'), "form", Effect::Form),
    value(None, "form-string", Effect::Form),
    value(Some('T'), "upload-file", Effect::Upload),
    switch(Some('I'), "head", Effect::Head),
    switch(Some('G'), "get", Effect::Get),
    switch(None, "path-as-is", Effect::KeepDots),
    switch(Some('g'), "globoff", Effect::KeepGlobs),
    // How it is sent, and what becomes of the answer.
    value(Some('o'), "output", Effect::Nothing),
    value(Some('w'), "write-out", Effect::Nothing),
    value(Some('m'), "max-time", Effect::Nothing),
    value(Some('c'), "cookie-jar", Effect::Nothing),
    value(Some('D'), "dump-header", Effect::Nothing),
    value(Some('x'), "proxy", Effect::Nothing),
    value(Some('E'), "cert", Effect::Nothing),
    value(None, "key", Effect::Nothing),
    value(None, "cacert", Effect::Nothing),
    value(None, "connect-timeout", Effect::Nothing),
    value(None, "connect-to", Effect::Nothing),
    value(None, "resolve", Effect::Nothing),
    value(None, "unix-socket", Effect::Nothing),
    value(None, "retry", Effect::Nothing),
    value(None, "max-redirs", Effect::Nothing),
    switch(Some('s'), "silent", Effect::Nothing),
    switch(Some('S'), "show-error", Effect::Nothing),
    switch(Some('i'), "include", Effect::Nothing),
    switch(None, "show-headers", Effect::Nothing),
    switch(Some('v'), "verbose", Effect::Nothing),
    switch(Some('k'), "insecure", Effect::Nothing),
    switch(Some('L'), "location", Effect::Nothing),
    switch(Some('f'), "fail", Effect::Nothing),
    switch(Some('O'), "remote-name", Effect::Nothing),
    switch(Some('N'), "no-buffer", Effect::Nothing),
    switch(Some('4'), "ipv4", Effect::Nothing),
    switch(Some('6'), "ipv6", Effect::Nothing),
    switch(Some('0'), "http1.0", Effect::Nothing),
    switch(Some('#'), "progress-bar", Effect::Nothing),
    switch(None, "http1.1", Effect::Nothing),
    switch(None, "http2", Effect::Nothing),
    switch(None, "http2-prior-knowledge", Effect::Nothing),
    switch(None, "http3", Effect::Nothing),
    switch(None, "compressed", Effect::Nothing),
    switch(None, "fail-with-body", Effect::Nothing),
    switch(None, "no-progress-meter", Effect::Nothing),
    switch(None, "basic", Effect::Nothing),
];
