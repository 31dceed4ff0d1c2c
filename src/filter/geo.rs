//! `geo`: which country a client is in, and whether the route is for it.
//!
//! Owns: asking once per request. May touch: [`crate::cidr`], [`crate::country`],
//! [`crate::message`]. It comes before the other filters, so that their templates know the country.

use super::{Filter, FilterPlace, Verdict};
use crate::{
    cidr::PeerAddress,
    country::{CountryCode, CountryDatabase, CountryRule},
    message::context::{Context, Scope},
};
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// One route's rule.
pub struct GeoFilter {
    /// Shared by all routes that name its file.
    pub database: Arc<CountryDatabase>,
    /// Which countries may pass.
    pub rule: CountryRule,
}

impl Filter for GeoFilter {
    fn name(&self) -> &'static str {
        "geo"
    }

    fn request<'a>(&'a self, context: &'a mut Context, _: FilterPlace<'a>) -> Verdict<'a> {
        let country = match context.client() {
            PeerAddress::Ip(address) => self.database.find(address),
            PeerAddress::Unix => CountryCode::UNKNOWN,
        };
        context.country = Some(country);
        if self.rule.passes(country) {
            Verdict::Pass
        } else {
            Verdict::Refuse(StatusCode::FORBIDDEN, "country_denied")
        }
    }

    fn response(&self, _: &mut HeaderMap, _: bool, _: &Scope<'_>) {}
}
