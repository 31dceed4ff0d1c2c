//! `[[site.route]]`: match → action.

use super::{
    ErrorPages, Files, ForwardedFields, Geo, Place, Upstream,
    header_edits::check_sendable,
    names::{method, path_pattern},
    site::TakenNames,
    table::Table,
    tree::TextValue,
};
use crate::{
    settings::{Compression, Retry, RouteCache, Timeouts},
    template::Template,
};
use http::{HeaderName, Method};
use std::time::Duration;

/// Match → action.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// `name`, default `SITE:PATH` (`SITE:PATH:METHODS` joined with `,` where methods are named);
    /// made unique with `-2` and so on.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// `path`, default `/*`.
    pub path: PathPattern,
    /// `methods`; empty = all.
    pub methods: Vec<Method>,
    /// Exactly one of `upstream`, `files`, `redirect`, `respond`.
    pub action: Action,
    /// `strip_prefix`: cut from the path before it is forwarded or looked up.
    pub strip_prefix: Option<String>,
    /// `rewrite`: the new path (and query, where it has a `?`), after `strip_prefix`.
    pub rewrite: Option<Template>,
    /// `request_headers`.
    pub request_headers: HeaderEdits,
    /// `response_headers`.
    pub response_headers: HeaderEdits,
    /// `compress`, default none; `true` is with every default.
    pub compress: Option<Compression>,
    /// `decompress`: a server's coding is undone for clients that do not take it, default false.
    pub decompress: bool,
    /// `timeouts`.
    pub timeouts: Timeouts,
    /// `retry`, default the upstream's, key by key; only with `upstream`.
    pub retry: Option<Retry>,
    /// `forwarded_fields`: which fields tell servers about the client.
    pub forwarded_fields: ForwardedFields,
    /// `response_buffer`: bytes taken off a server ahead of a slow client, default 32 KiB, 0 =
    /// none.
    pub response_buffer: usize,
    /// `cache`: which responses are stored, default none; only with `upstream`.
    pub cache: Option<RouteCache>,
    /// `error_pages`, default the site's.
    pub error_pages: Option<ErrorPages>,
    /// `geo`: for which countries it is, default the site's.
    pub geo: Option<Geo>,
    /// `server_timing`: whether answers have `Server-Timing`, default false.
    pub server_timing: bool,
    /// `max_body`: of a request, default 10 MiB, 0 = unlimited; 413.
    pub max_body: u64,
}

/// Which paths a route takes, compared with the normalised path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// `/x`.
    Exact(String),
    /// `/x/*`, kept as `/x/`; it also takes `/x` itself. `/*` is kept as `/`.
    Prefix(String),
    /// `*.css`, kept as `.css`.
    Suffix(String),
}

impl PathPattern {
    /// Whether one of its paths may be `prefix`, or below it.
    fn may_have(&self, prefix: &str) -> bool {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_below = |path: &str, prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match self {
            Self::Exact(path) => is_below(path, prefix),
            Self::Prefix(path) => is_below(path, prefix) || format!("{prefix}/").starts_with(path),
            Self::Suffix(_) => true,
        }
    }
}

/// What a route does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `upstream = "NAME"`.
    Forward(String),
    /// `files = { … }`.
    Files(Files),
    /// `redirect = { to, status }`.
    Redirect(Redirect),
    /// `respond = { status, body, content_type }`.
    Respond(Respond),
}

/// `redirect`.
#[derive(Clone, Debug, PartialEq)]
pub struct Redirect {
    /// `to`.
    pub to: Template,
    /// `status`: 301, 302, 303, 307 or 308, default 308.
    pub status: u16,
}

/// `respond`.
#[derive(Clone, Debug, PartialEq)]
pub struct Respond {
    /// `status`: 200 to 599, default 200.
    pub status: u16,
    /// `body`, default empty.
    pub body: Template,
    /// `content_type`, default `text/plain; charset=utf-8`.
    pub content_type: String,
}

/// `request_headers` or `response_headers`: removed first, then set, then added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderEdits {
    /// Where it stands.
    pub place: Place,
    /// `set`: replaces every value.
    pub set: Vec<(HeaderName, Template)>,
    /// `add`: beside those that are there.
    pub add: Vec<(HeaderName, Template)>,
    /// `remove`.
    pub remove: Vec<HeaderName>,
    /// `always`, of `response_headers` alone: edits of caching fields hold for errors, too, default
    /// false.
    pub always: bool,
}

impl HeaderEdits {
    /// The names of all that is edited.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.set.iter().chain(&self.add).map(|(name, _)| name).chain(&self.remove)
    }
}

const ACTIONS: [&str; 4] = ["upstream", "files", "redirect", "respond"];

impl Route {
    /// Reads one `[[site.route]]` of the site named `site`.
    pub(super) fn read(
        table: &Table<'_>,
        site: &str,
        upstreams: &[Upstream],
        names: &mut TakenNames,
    ) -> Self {
        let errors = table.errors();
        let written = table.text("path");
        let path = written.map_or_else(
            || PathPattern::Prefix("/".into()),
            |text| {
                path_pattern(&text.value).unwrap_or_else(|(message, hint)| {
                    table.error(text.span.clone(), message, Some(hint));
                    PathPattern::Exact(String::new())
                })
            },
        );
        let methods = read_methods(table);
        // With a mistake in its path or methods, a route must not be reported as shadowed.
        let path = if table.errors() > errors { PathPattern::Exact(String::new()) } else { path };
        let default_name = || {
            let path = written.map_or("/*", |text| text.value.as_str());
            let methods = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(",");
            let colon = if methods.is_empty() { "" } else { ":" };
            format!("{site}:{path}{colon}{methods}")
        };
        let name = names.claim(&table.string("name").unwrap_or_else(default_name));
        let action = Action::read(table);
        let base = match &action {
            Action::Forward(name) => upstreams.iter().find(|it| it.name == *name),
            _ => None,
        };
        let base = base.map(|upstream| upstream.retry.clone()).unwrap_or_default();
        Self {
            name,
            place: table.place(),
            methods,
            strip_prefix: read_strip_prefix(table, written),
            rewrite: read_rewrite(table),
            request_headers: HeaderEdits::read_request(&table.table("request_headers")),
            response_headers: HeaderEdits::read_response(&table.table("response_headers")),
            compress: Compression::read(table),
            decompress: table.boolean("decompress", false),
            timeouts: read_timeouts(table),
            retry: table.optional_table("retry").map(|retry| Retry::read(&retry, &base)),
            forwarded_fields: ForwardedFields::read(table),
            response_buffer: table.size("response_buffer", 32 << 10),
            cache: RouteCache::read(table),
            error_pages: ErrorPages::read(table),
            geo: Geo::read(table),
            server_timing: table.boolean("server_timing", false),
            max_body: table.size("max_body", 10 << 20),
            action,
            path,
        }
    }
}

fn read_methods(table: &Table<'_>) -> Vec<Method> {
    let texts = table.texts("methods").unwrap_or_default();
    let methods = texts.iter().filter_map(|text| match method(&text.value) {
        Ok(method) => Some(method),
        Err((message, hint)) => {
            table.error(text.span.clone(), message, Some(hint));
            None
        }
    });
    methods.collect()
}

/// `path` is the route's, as it is written.
fn read_strip_prefix(table: &Table<'_>, path: Option<&TextValue>) -> Option<String> {
    let text = table.text("strip_prefix")?;
    let pattern = path.and_then(|it| path_pattern(&it.value).ok());
    if !text.value.starts_with('/') {
        let hint = format!("write `\"/{}\"`", text.value);
        table.error(text.span.clone(), "`strip_prefix` starts with `/`", Some(hint));
    } else if text.value.contains('*') {
        let hint = format!("write `\"{}\"`", text.value.trim_end_matches(['*', '/']));
        table.error(text.span.clone(), "`strip_prefix` has no `*`", Some(hint));
    } else if let Err((_, hint)) = path_pattern(&text.value) {
        table.error(text.span.clone(), "`strip_prefix` would never be cut", Some(hint));
    } else if let Some((path, _)) = path.zip(pattern).filter(|it| !it.1.may_have(&text.value)) {
        let message = "`strip_prefix` would never be cut";
        let hint = format!("no path that `{}` takes begins with it", path.value);
        table.error(text.span.clone(), message, Some(hint));
    }
    Some(text.value.clone())
}

fn read_rewrite(table: &Table<'_>) -> Option<Template> {
    let text = table.text("rewrite")?;
    if !text.value.starts_with(['/', '{']) {
        let hint = format!("write `\"/{}\"`", text.value);
        table.error(text.span.clone(), "a rewritten path starts with `/`", Some(hint));
    }
    table.template_in(text)
}

impl Action {
    /// The name of the upstream that it forwards to.
    pub(super) fn upstream(&self) -> Option<&str> {
        match self {
            Self::Forward(name) => Some(name),
            _ => None,
        }
    }

    fn read(table: &Table<'_>) -> Self {
        let upstream = table.text("upstream");
        let files = table.optional_table("files").map(|files| Files::read(&files));
        let redirect = table.optional_table("redirect").map(|it| Redirect::read(&it));
        let respond = table.optional_table("respond").map(|it| Respond::read(&it));
        let written: Vec<_> = ACTIONS.into_iter().filter(|key| table.has(key)).collect();
        match written.as_slice() {
            [] => {
                let message = "a route does nothing";
                let hint = "add one of `upstream`, `files`, `redirect` and `respond`";
                table.absent(table.span.clone(), message, Some(hint.into()));
            }
            [action] => check_company(table, action),
            several => {
                let mut several = several.to_vec();
                several.sort_by_key(|key| table.key_span(key).start);
                let message =
                    format!("a route does one thing: it has `{}` and `{}`", several[0], several[1]);
                let hint = "keep one of them, or make two routes with different paths";
                table.error(table.key_span(several[1]), message, Some(hint.into()));
            }
        }
        let upstream = upstream.map(|text| Self::Forward(text.value.clone()));
        upstream
            .or(files.map(Self::Files))
            .or(redirect.map(Self::Redirect))
            .or(respond.map(Self::Respond))
            .unwrap_or_else(|| Self::Respond(Respond::nothing()))
    }
}

/// Keys that have no effect with the route's action.
fn check_company(table: &Table<'_>, action: &str) {
    if action != "upstream" && table.has("retry") {
        let hint = Some("leave it out: only an `upstream` has servers to try".into());
        let message = format!("`retry` has no meaning beside `{action}`");
        table.error(table.key_span("retry"), message, hint);
    }
    let useless = |key: &'static str, place: &str| {
        if table.has(key) {
            let hint = Some(format!("leave it out: it is for {place}"));
            let message = format!("`{key}` has no effect beside `{action}`");
            table.warning(table.key_span(key), message, hint);
        }
    };
    if action == "redirect" {
        useless("compress", "`upstream`, `files` and `respond`");
    }
    if matches!(action, "redirect" | "respond") {
        useless("decompress", "`upstream` and `files`");
        for key in ["strip_prefix", "rewrite"] {
            useless(key, "`upstream` and `files`");
        }
    }
    if action != "upstream" {
        for key in [
            "timeouts",
            "forwarded_fields",
            "response_buffer",
            "cache",
            "max_body",
            "min_body_rate",
        ] {
            useless(key, "`upstream`");
        }
    }
}

impl Redirect {
    fn read(table: &Table<'_>) -> Self {
        let to = table.required_text("to", "\"https://{host}{uri}\"");
        let status = table.number("status", 308, 300..=399);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let hint = Some("write 301, 302, 303, 307 or 308".into());
            table.error(table.value_span("status"), format!("{status} is no redirect"), hint);
        }
        if let Some(text) = to.filter(|text| text.value.is_empty()) {
            let hint = Some("write where to, as `\"https://{host}{uri}\"`".into());
            table.error(text.span.clone(), "`to` is empty", hint);
        }
        let to = to.and_then(|text| {
            let to = table.template_in(text)?;
            check_sendable(table, text, &to);
            Some(to)
        });
        Self { to: to.unwrap_or_default(), status }
    }
}

impl Respond {
    fn nothing() -> Self {
        Self {
            status: 200,
            body: Template::default(),
            content_type: "text/plain; charset=utf-8".into(),
        }
    }

    fn read(table: &Table<'_>) -> Self {
        let nothing = Self::nothing();
        let content_type = table.text("content_type").map(|text| {
            if http::HeaderValue::from_str(&text.value).is_err() || text.value.is_empty() {
                let hint = Some("write a media type, as `\"application/json\"`".into());
                table.error(text.span.clone(), "this cannot be sent in a header", hint);
            }
            text.value.clone()
        });
        let status = table.number("status", nothing.status, 200..=599);
        if matches!(status, 204 | 205 | 304)
            && table.text("body").is_some_and(|it| !it.value.is_empty())
        {
            let hint = Some("leave `body` out, or write another status".into());
            table.error(table.key_span("body"), format!("a response {status} has no body"), hint);
        }
        Self {
            status,
            body: table.template("body").unwrap_or(nothing.body),
            content_type: content_type.unwrap_or(nothing.content_type),
        }
    }
}

fn read_timeouts(route: &Table<'_>) -> Timeouts {
    let table = route.table("timeouts");
    let read = table.positive_duration("read", Duration::from_secs(60));
    Timeouts {
        connect: table.positive_duration("connect", Duration::from_secs(3)),
        send: table.positive_duration("send", Duration::from_secs(60)),
        response_head: table.positive_duration("response_head", read),
        read,
        body_idle: table.positive_duration("body_idle", Duration::from_secs(30)),
        tunnel: table.positive_duration("tunnel", Duration::from_secs(3600)),
        min_body_rate: route.size("min_body_rate", 500),
    }
}
