//! The dashboard: a page for browsers.
//!
//! Owns: its files, which are part of the program, and the fields that they are sent with. May
//! touch: nothing outside this room. They hold no data: the page asks for that at the other
//! resources, as whoever looks at it may. See `docs/decisions/dashboard.md`.

use super::{
    answer::{AdminAnswer, refusal, whole},
    ask::Ask,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};

/// Nothing but the files below runs, and the page speaks to nobody but its own address.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file of the dashboard.
struct PageFile {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

static FILES: [PageFile; 10] = [
    PageFile {
        path: "/",
        kind: "text/html; charset=utf-8",
        text: include_str!("dashboard/index.html"),
    },
    PageFile {
        path: "/dashboard/style.css",
        kind: "text/css; charset=utf-8",
        text: include_str!("dashboard/style.css"),
    },
    PageFile {
        path: "/dashboard/icon.svg",
        kind: "image/svg+xml",
        text: include_str!("dashboard/icon.svg"),
    },
    script("/dashboard/app.js", include_str!("dashboard/app.js")),
    script("/dashboard/feed.js", include_str!("dashboard/feed.js")),
    script("/dashboard/model.js", include_str!("dashboard/model.js")),
    script("/dashboard/draw.js", include_str!("dashboard/draw.js")),
    script("/dashboard/overview.js", include_str!("dashboard/overview.js")),
    script("/dashboard/views.js", include_str!("dashboard/views.js")),
    script("/dashboard/actions.js", include_str!("dashboard/actions.js")),
];

const fn script(path: &'static str, text: &'static str) -> PageFile {
    PageFile { path, kind: SCRIPT, text }
}

/// One of the files, by its path.
pub(super) fn file(ask: &Ask) -> AdminAnswer {
    let Some(file) = FILES.iter().find(|it| it.path == ask.head.uri.path()) else {
        return refusal(StatusCode::NOT_FOUND, "the dashboard has no such file");
    };
    let tag = format!("\"{:08x}\"", crc32fast::hash(file.text.as_bytes()));
    let known = ask.head.headers.get(header::IF_NONE_MATCH);
    let mut answer = if known.is_some_and(|it| it.to_str().is_ok_and(|it| it.contains(&tag))) {
        let mut same = Response::new(Empty::new().boxed_unsync());
        *same.status_mut() = StatusCode::NOT_MODIFIED;
        same
    } else {
        whole(StatusCode::OK, file.kind, file.text)
    };
    protect(answer.headers_mut());
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}

fn protect(fields: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // It is asked for each time, and costs 304 if it is the same.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
}
