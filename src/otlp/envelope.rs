//! What stands around spans and metrics in an export.
//!
//! Owns: `ExportTraceServiceRequest` and `ExportMetricsServiceRequest` down to the scope. May
//! touch: [`crate::protobuf`]. Both have the same numbers of fields.

use crate::protobuf::{bytes, message, varint};

/// The fields of the requests and of what is in them.
const RESOURCE_ITEMS: u32 = 1;
const SCOPE_ITEMS: u32 = 2;
const SCOPE: u32 = 1;

/// A length-delimited field's tag.
fn tag(field: u32) -> u8 {
    (field << 3 | 2) as u8
}

/// A whole request: the `resource` with its tag, and the `items` with theirs, field 2 of
/// `ScopeSpans` or `ScopeMetrics`.
pub(super) fn wrap(resource: &[u8], items: &[u8]) -> Vec<u8> {
    let mut scope = Vec::with_capacity(32);
    message(&mut scope, SCOPE, |out| {
        bytes(out, 1, b"sheave");
        bytes(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
    });
    // The lengths are known, so that the items are copied only once.
    let in_scope = scope.len() + items.len();
    let mut before = Vec::with_capacity(resource.len() + 8);
    before.extend_from_slice(resource);
    before.push(tag(SCOPE_ITEMS));
    varint(&mut before, in_scope as u64);
    let mut request = Vec::with_capacity(before.len() + in_scope + 8);
    request.push(tag(RESOURCE_ITEMS));
    varint(&mut request, (before.len() + in_scope) as u64);
    for part in [&before, &scope, items] {
        request.extend_from_slice(part);
    }
    request
}
