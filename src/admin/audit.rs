//! A line for every change that somebody asks for, made or refused.
//!
//! Owns: what is in the line, and the counter of requests. May touch: [`crate::observe`],
//! [`crate::settings`], [`crate::snapshot`].

use super::{answer::AdminAnswer, ask::Caller};
use crate::{observe::audit_file::AuditFile, settings::Role, snapshot::Live};
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Bytes of a body in the line.
const SHORT: usize = 200;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It was let in: the handler has answered.
    Answered,
    /// Somebody who may not, or from where it may not come.
    Refused,
}

/// The file, if the config has one.
#[derive(Default)]
pub(super) struct Audit(Mutex<Option<AuditFile>>);

/// What a line is about.
pub(super) struct Audited<'a> {
    /// Of the table, or `other`.
    pub path: &'static str,
    /// The method.
    pub method: &'a Method,
    /// Whether it is to change something.
    pub changes: bool,
    /// Who; `None` for a wrong token.
    pub caller: Option<&'a Caller>,
    /// Where from.
    pub peer: &'a str,
    /// What was sent.
    pub body: &'a [u8],
}

impl Audit {
    /// Counts a request, and tells of it if it was to change something.
    pub(super) fn note(
        &self,
        live: &Live,
        about: &Audited<'_>,
        verdict: Admission,
        answer: &AdminAnswer,
    ) {
        let role = about.caller.map_or(Role::None, |it| it.role).name();
        let status = answer.status();
        let result = match verdict {
            Admission::Refused => "refused",
            Admission::Answered if status.is_client_error() || status.is_server_error() => "failed",
            Admission::Answered => "ok",
        };
        live.metrics.admin_requests.with_label_values(&[about.path, role, result]).inc();
        // A stranger can cause any number of those that are turned away at once.
        if !about.changes || status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        let (path, peer, status) = (about.path, about.peer, status.as_u16());
        let name = about.caller.and_then(|it| it.name.as_deref());
        let subject = about.caller.and_then(|it| it.subject.as_deref());
        let body = short(about.body);
        tracing::info!(
            audit = true,
            role,
            name,
            subject,
            peer,
            path,
            body,
            status,
            result,
            "a change was asked for at the admin address"
        );
        let config = &live.load().config.admin;
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if file.as_ref().map(AuditFile::path) != config.audit_log.as_deref() {
            *file = config.audit_log.as_deref().and_then(start);
        }
        if let Some(file) = &*file {
            let text = json!({
                "time": Timestamp::now().to_string(), "role": role, "name": name, "subject": subject,
                "peer": peer, "method": about.method.as_str(), "path": path, "body": body,
                "status": status, "result": result,
            });
            file.add(format!("{text}\n"));
        }
    }
}

fn start(path: &Path) -> Option<AuditFile> {
    let failed = |error| {
        tracing::error!(path = %path.display(), %error, "the audit log can't be written");
    };
    AuditFile::start(path).map_err(failed).ok()
}

/// The beginning of a body, with nothing in it that could end a line or move a cursor.
fn short(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SHORT)]);
    let more = if body.len() > SHORT { "…" } else { "" };
    text.replace(|it: char| it.is_control(), " ") + more
}
