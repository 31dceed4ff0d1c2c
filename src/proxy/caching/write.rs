//! Requests that change something, as POST.
//!
//! Owns: what they do to what is stored (RFC 9111 §4.4). May touch: [`crate::cache`],
//! [`crate::message`], [`crate::settings`].

use super::{CachePlace, forward, refresh, request, stored};
use crate::{
    cache::{
        policy::{
            cache_status::Forwarded,
            invalidation::{Url, targets},
        },
        store::PurgeTarget,
        url,
    },
    message::{answer::Answer, body::Body},
    proxy::{facts::Facts, refusal::Refusal},
    settings::AfterWrite,
};

/// Passes it on, and makes invalid what its success changes.
pub(super) async fn answer(
    place: CachePlace<'_>,
    facts: &mut Facts,
    body: Body,
) -> Result<Answer<Body>, Refusal> {
    facts.cache = Some("bypass");
    let mut answer = forward(place, facts, body).await?;
    let caching = place.caching;
    let context = &facts.context;
    let head = &context.head;
    let scheme = context.scheme();
    let authority = url::authority(scheme, head.target.host());
    let target =
        Url { scheme, authority: &authority, path_and_query: head.target.path_and_query() };
    let changed = targets(&head.method, answer.status, &target, answer.fields.map());
    for url in &changed {
        // It is stored without the parameters that do not count.
        let (path, query) =
            url.split_once('?').map_or((&**url, None), |(path, query)| (path, Some(query)));
        let counting = url::filtered(path, query, &caching.settings.query);
        let stored = counting.as_deref().unwrap_or(url);
        caching.cache.purge(&PurgeTarget::Url(stored.as_bytes()), false).await;
    }
    if !changed.is_empty() {
        match caching.settings.after_write {
            AfterWrite::Invalidate => {}
            AfterWrite::RefreshBefore => {
                refresh(place, facts, &request(caching, facts), true).await;
            }
            AfterWrite::RefreshAfter => {
                refresh(place, facts, &request(caching, facts), false).await;
            }
        }
    }
    Ok(stored::passed(answer, Forwarded::Method, None))
}
