//! Whether a response may be stored (RFC 9111 §3).
//!
//! Owns: the conditions, in the order in which they are told. May touch: nothing outside this room.

use http::{
    HeaderMap, StatusCode,
    header::{AGE, AUTHORIZATION, CONTENT_RANGE, SET_COOKIE},
};

use super::{
    Asked, Freshness, NotStored, Rules, Times, age, dates, directives::Directives, fields,
    lifetime::lifetime, serving::is_failure, validation, vary,
};

/// Whether a response may be stored, and how fresh it is then. `request` is as the server got it.
pub fn may_store(
    asked: &Asked,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    times: Times,
    rules: &Rules,
) -> Result<Freshness, NotStored> {
    // §3: only GET is defined to be stored here; the answer to HEAD has no content to store.
    if !asked.is_get() {
        return Err(NotStored::Method);
    }
    judge(asked, request, status, response, times, rules)
}

/// The same for any method: a HEAD too may have what is stored validated.
fn judge(
    asked: &Asked,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    times: Times,
    rules: &Rules,
) -> Result<Freshness, NotStored> {
    // §5.2.1.5.
    if asked.no_store() {
        return Err(NotStored::RequestNoStore);
    }
    let directives = Directives::of(response);
    permitted(status, response, &directives)?;
    shareable(request, response, &directives, rules)?;
    let initial_age = age::initial_age(response, times);
    let (lifetime, source) =
        lifetime(status, response, &directives, times.received, initial_age, rules)
            .ok_or(NotStored::Status)?;
    if rules.max_ttl == Some(0) {
        return Err(NotStored::MaxTtl);
    }
    let stale = |own, rule| stale_limit(own, rule, &directives);
    worth_it(Freshness {
        received: times.received,
        initial_age,
        lifetime,
        while_revalidate: stale(directives.stale_while_revalidate, rules.stale_while_revalidate),
        if_error: stale(directives.stale_if_error, rules.stale_if_error),
        no_cache: directives.no_cache,
        must_revalidate: directives.never_stale() || directives.has_s_maxage(),
        immutable: directives.immutable,
        has_validator: validation::conditions(response).iter().any(Option::is_some),
        source,
        staled: false,
    })
}

/// What becomes of a stored response that a 304 freshens (§4.3.4), or the 200 to a HEAD that agrees
/// with it (§4.3.5): its new fields, and how fresh it is now, or why it may not be stored any
/// longer. `status` is that of the stored response, `times` are those of the new one.
///
/// With [`NotStored::RequestNoStore`] and [`NotStored::Authorization`], which are about this one
/// request, the stored response stays as it was: the new one must leave no trace. With all other
/// reasons, it goes.
pub fn may_keep(
    asked: &Asked,
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    not_modified: &HeaderMap,
    times: Times,
    rules: &Rules,
) -> (HeaderMap, Result<Freshness, NotStored>) {
    let mut updated = validation::update(stored, not_modified);
    dates::complete_date(&mut updated, times.received);
    // Age is not stored, but that of the 304 counts.
    if let Some(age) = not_modified.get(AGE) {
        updated.insert(AGE, age.clone());
    }
    let verdict = judge(asked, request, status, &updated, times, rules);
    updated.remove(AGE);
    (updated, verdict)
}

/// Whether the status and the directives allow to store the response at all.
fn permitted(
    status: StatusCode,
    response: &HeaderMap,
    directives: &Directives,
) -> Result<(), NotStored> {
    // §3: a final status; a 304 only updates what is stored.
    if !matches!(status.as_u16(), 200..=599) || status == StatusCode::NOT_MODIFIED {
        return Err(NotStored::Interim);
    }
    // §3.3: ranges are answered from whole responses; parts are not stored.
    if status == StatusCode::PARTIAL_CONTENT || response.contains_key(CONTENT_RANGE) {
        return Err(NotStored::Partial);
    }
    // RFC 6585 §3 to §6: these are never stored. RFC 9110 §15.5.13 and §15.5.17: these answer a
    // condition or a range of one request.
    if matches!(status.as_u16(), 412 | 416 | 428 | 429 | 431 | 511) {
        return Err(NotStored::ForOneRequest);
    }
    // §5.2.2.3: must-understand is about the status only, and lifts a no-store beside it.
    if directives.must_understand {
        if !is_understood(status) {
            return Err(NotStored::NotUnderstood);
        }
    } else if directives.no_store {
        return Err(NotStored::NoStore);
    }
    Ok(())
}

/// Whether a failure that is not stored is the answer to all who wait for it. `cookie`: the request
/// had cookies that do not choose between responses.
///
/// RFC 9111 §4 lets a cache answer collapsed requests with what is storable. A failure without a
/// lifetime is not, but only because nobody says for how long it may be used again (§3), and nobody
/// uses it again: it goes to those who waited when it came. All that protects a client holds as for
/// what is stored, and more strictly: no directive of the response lifts `Authorization` or
/// `Set-Cookie`. 502, 503 and 504 tell of the server (RFC 9110 §15.6). A 500 may come of what one
/// client sent, and its page may show that, so not with cookies.
pub fn may_share_failure(
    request: &HeaderMap,
    cookie: bool,
    status: StatusCode,
    response: &HeaderMap,
    rules: &Rules,
) -> bool {
    let directives = Directives::of(response);
    is_failure(status)
        && !(directives.no_store || response.contains_key(SET_COOKIE))
        && !(request.contains_key(AUTHORIZATION) || cookie && status.as_u16() == 500)
        && shareable(request, response, &directives, rules).is_ok()
}

/// The statuses whose rules for caches are kept here: all of RFC 9110 §15 with no rule but that
/// they may be cached. For 206 and 304 see [`permitted`].
fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=205 | 300..=303 | 307 | 308 | 400..=415 | 417 | 421 | 422)
        || matches!(status.as_u16(), 426 | 500..=505)
}

/// Whether the response may be given to other clients.
fn shareable(
    request: &HeaderMap,
    response: &HeaderMap,
    directives: &Directives,
    rules: &Rules,
) -> Result<(), NotStored> {
    // §5.2.2.7.
    if directives.private {
        return Err(NotStored::Private);
    }
    // §3.5.
    if request.contains_key(AUTHORIZATION) && !directives.may_share() {
        return Err(NotStored::Authorization);
    }
    // §4.1: such a response is never selected again.
    if vary::of(response) == vary::Vary::Any {
        return Err(NotStored::VaryAny);
    }
    // §7.3 leaves it to the server; but most that set a cookie in passing do not think of caches,
    // and one client's session in another's hands is the worst that a cache can do. So the server
    // must have meant shared caches. max-age alone is often meant for the client's own.
    let is_meant = directives.public
        || directives.s_maxage.is_some()
        || directives.is_targeted && directives.max_age.is_some();
    if response.contains_key(SET_COOKIE)
        && !(is_meant || rules.cookies || fields::is_left_out(response, &SET_COOKIE))
    {
        return Err(NotStored::SetCookie);
    }
    Ok(())
}

/// How long the response may be served stale, for one of the rules of RFC 5861.
fn stale_limit(own: Option<u32>, rule: Option<u32>, directives: &Directives) -> u32 {
    // §4.2.4: no extension lifts must-revalidate.
    if directives.never_stale() {
        return 0;
    }
    // s-maxage forbids stale responses too (§5.2.2.10), but a server that states a time for them
    // beside it has permitted them for this time. It has not permitted the operator's.
    own.or(rule.filter(|_| !directives.has_s_maxage())).unwrap_or(0)
}

/// What can neither be served nor validated is not stored.
fn worth_it(fresh: Freshness) -> Result<Freshness, NotStored> {
    if fresh.has_validator {
        return Ok(fresh);
    }
    if fresh.no_cache {
        return Err(NotStored::NoCache);
    }
    let now = fresh.received;
    let stale = fresh.while_revalidate.max(fresh.if_error);
    if fresh.is_fresh(now) || stale > 0 && fresh.stale_for(now) < stale {
        return Ok(fresh);
    }
    Err(if fresh.lifetime == 0 { NotStored::NotFresh } else { NotStored::Expired })
}
