//! From the config's routes to compiled routes.
//!
//! Owns: what is compiled of one route. May touch: [`crate::cache`], [`crate::config`],
//! [`crate::encode`], [`crate::files`], [`crate::filter`], [`crate::http1`], [`crate::message`],
//! [`crate::route`]. Called by [`super::build`]; next: the router.

use super::{Databases, Snapshot, live::Resources};
use crate::{
    cache::{Cache, Caching},
    config,
    encode::Codings,
    files::{self, Files},
    filter::{
        Chain, Filter,
        geo::GeoFilter,
        header_edits::{Edits, HeaderEdits},
    },
    http1::fields::{FieldText, write_field},
    message::{
        forwarded::{Edited, ForwardedField, Written},
        hop_by_hop::EditedNames,
    },
    route::{
        Action, ErrorPage, ErrorPages, FilesRoute, Forward, Group, Key, PathEdit, PathMatcher,
        Redirect, Respond, Route, RouteMatcher, Tries, Wording,
    },
};
use http::{HeaderValue, StatusCode, header};
use std::{collections::HashMap, sync::Arc};

/// The directories that are served now. Their files in memory are kept by the next snapshot.
fn directories(previous: Option<&Snapshot>) -> Vec<Arc<Files>> {
    let routes = previous.map(|it| it.router.routes()).unwrap_or_default();
    let files = routes.iter().filter_map(|route| match &route.action {
        Action::Files(route) => Some(Arc::clone(&route.files)),
        _ => None,
    });
    files.collect()
}

/// Compiles the routes of one config.
pub(super) struct Compiler<'a> {
    upstreams: HashMap<&'a str, (&'a config::Upstream, &'a Arc<Group>)>,
    directories: Vec<Arc<Files>>,
    /// The last `Forward` of each upstream, and the route that it was made for.
    forwards: HashMap<&'a str, (&'a config::Route, Arc<Forward>)>,
    trusted_fields: config::TrustedFields,
    caches: &'a [Arc<Cache>],
    databases: &'a Databases,
    resources: &'a Resources,
}

impl<'a> Compiler<'a> {
    /// `upstreams` are by name. Directories that `previous` serves, too, keep their hot files.
    pub(super) fn new(
        upstreams: HashMap<&'a str, (&'a config::Upstream, &'a Arc<Group>)>,
        previous: Option<&Snapshot>,
        trusted_fields: config::TrustedFields,
        caches: &'a [Arc<Cache>],
        databases: &'a Databases,
        resources: &'a Resources,
    ) -> Self {
        let (directories, forwards) = (directories(previous), HashMap::new());
        Self { upstreams, directories, forwards, trusted_fields, caches, databases, resources }
    }

    /// Compiles one route.
    pub(super) fn route(&mut self, wanted: &'a config::Route) -> Route {
        let name: Arc<str> = wanted.name.as_str().into();
        Route {
            metrics: self.resources.metrics.route(&name),
            name,
            matcher: RouteMatcher { path: path(&wanted.path), methods: wanted.methods.clone() },
            filters: filters(wanted, self.databases),
            codings: self.codings(wanted),
            action: self.action(wanted),
            pages: pages(wanted.error_pages.as_ref()),
            caching: self.caching(wanted),
            server_timing: wanted.server_timing,
            max_body: wanted.max_body,
        }
    }

    fn codings(&self, wanted: &config::Route) -> Option<Box<Codings>> {
        let config::Route { compress, decompress, .. } = wanted;
        let metrics = &self.resources.metrics;
        let any = compress.is_some() || *decompress;
        any.then(|| Codings::new(compress.clone(), *decompress, metrics).into())
    }

    fn action(&mut self, wanted: &'a config::Route) -> Action {
        match &wanted.action {
            config::Action::Respond(respond) => Action::Respond(Box::new(self::respond(respond))),
            config::Action::Redirect(redirect) => Action::Redirect(Box::new(Redirect {
                to: redirect.to.clone(),
                status: status(redirect.status),
            })),
            config::Action::Files(files) => Action::Files(Box::new(FilesRoute {
                files: self.files(files),
                target: target(wanted),
                tries: tries(files),
            })),
            config::Action::Forward(upstream) => Action::Forward(self.forward(wanted, upstream)),
        }
    }

    fn caching(&self, wanted: &config::Route) -> Option<Arc<Caching>> {
        let (settings, config::Action::Forward(_)) = (wanted.cache.as_ref()?, &wanted.action)
        else {
            return None;
        };
        let cache = self.caches.iter().find(|it| *it.name == *settings.store)?;
        Some(Arc::new(Caching::new(Arc::clone(cache), settings.clone())))
    }

    fn files(&mut self, wanted: &config::Files) -> Arc<Files> {
        let settings = files::FilesSettings {
            root: wanted.root.clone(),
            index: wanted.index.clone(),
            dotfiles: wanted.dotfiles,
            listing: wanted.listing.map(|it| match it {
                config::Listing::Html => files::Listing::Html,
                config::Listing::Json => files::Listing::Json,
            }),
            precompressed: wanted.precompressed,
            labels: files::FileLabels {
                cache_control: wanted.fields.cache_control.clone(),
                immutable: wanted.fields.immutable,
                download: wanted.fields.download,
            },
            cache: wanted.cache.as_ref().map(|cache| files::CacheSettings {
                max_size: cache.max_size,
                max_file: cache.max_file,
                check_interval: cache.check_interval,
            }),
        };
        if let Some(known) = self.directories.iter().find(|it| *it.settings() == settings) {
            return Arc::clone(known);
        }
        let files = Arc::new(Files::new(settings));
        self.directories.push(Arc::clone(&files));
        files
    }

    fn forward(&mut self, wanted: &'a config::Route, upstream: &'a str) -> Arc<Forward> {
        if let Some((route, last)) = self.forwards.get(upstream)
            && forward_alike(route, wanted)
        {
            return Arc::clone(last);
        }
        let (settings, group) = self.upstreams[upstream];
        let written = written(wanted, self.trusted_fields);
        let made = Arc::new(forward(wanted, settings, group, written));
        self.forwards.insert(upstream, (wanted, Arc::clone(&made)));
        made
    }
}

/// Whether two routes forward to one upstream with the same settings.
fn forward_alike(route: &config::Route, other: &config::Route) -> bool {
    route.strip_prefix == other.strip_prefix
        && route.rewrite == other.rewrite
        && route.request_headers == other.request_headers
        && route.response_headers == other.response_headers
        && route.timeouts == other.timeouts
        && route.retry == other.retry
        && route.forwarded_fields == other.forwarded_fields
        && route.response_buffer == other.response_buffer
}

fn forward(
    wanted: &config::Route,
    settings: &config::Upstream,
    group: &Arc<Group>,
    written: Written,
) -> Forward {
    let config::Route { timeouts, request_headers, response_headers, .. } = wanted;
    Forward {
        group: Arc::clone(group),
        key: key(settings),
        target: target(wanted),
        timeouts: *timeouts,
        retry: wanted.retry.as_ref().unwrap_or(&settings.retry).clone(),
        response_buffer: wanted.response_buffer,
        written,
        edited_in_requests: edited_names(request_headers),
        edited_in_responses: edited_names(response_headers),
        edits_host: request_headers.names().any(|name| *name == header::HOST),
    }
}

fn written(wanted: &config::Route, trusted: config::TrustedFields) -> Written {
    let forwarded = match wanted.forwarded_fields {
        config::ForwardedFields::Forwarded | config::ForwardedFields::Both => {
            ForwardedField::Written
        }
        config::ForwardedFields::None => ForwardedField::Dropped,
        // If the trusted proxies do not write this field, a client wrote it.
        config::ForwardedFields::XForwarded => match trusted {
            config::TrustedFields::XForwarded => ForwardedField::Dropped,
            config::TrustedFields::Any | config::TrustedFields::Forwarded => ForwardedField::Passed,
        },
    };
    let x_forwarded = matches!(
        wanted.forwarded_fields,
        config::ForwardedFields::XForwarded | config::ForwardedFields::Both
    );
    let edited = Edited::of(wanted.request_headers.names());
    Written { x_forwarded, forwarded, edited }
}

fn edited_names(edits: &config::HeaderEdits) -> EditedNames {
    let names: Vec<_> = edits.names().cloned().collect();
    (!names.is_empty()).then(|| names.into())
}

fn path(wanted: &config::PathPattern) -> PathMatcher {
    match wanted {
        config::PathPattern::Prefix(prefix) if prefix == "/" => PathMatcher::Any,
        config::PathPattern::Prefix(prefix) => PathMatcher::Prefix(prefix.clone()),
        config::PathPattern::Exact(exact) => PathMatcher::Exact(exact.clone()),
        config::PathPattern::Suffix(suffix) => PathMatcher::Suffix(suffix.clone()),
    }
}

fn filters(wanted: &config::Route, databases: &Databases) -> Chain {
    let mut filters: Vec<Box<dyn Filter>> = Vec::new();
    if let Some(config::Geo { database, rule, .. }) = &wanted.geo
        && let Some(database) = databases.iter().find(|it| it.path() == database)
    {
        let (database, rule) = (Arc::clone(database), rule.clone());
        filters.push(Box::new(GeoFilter { database, rule }));
    }
    let edits = |it: &config::HeaderEdits| Edits::new(&it.set, &it.add, &it.remove);
    let unsuccessful = match edits(&wanted.response_headers) {
        all if wanted.response_headers.always => all,
        some => some.without_caching(),
    };
    let (request, response) = (edits(&wanted.request_headers), edits(&wanted.response_headers));
    let headers = HeaderEdits::new(request, response, unsuccessful);
    filters.extend(headers.map(|it| Box::new(it) as Box<dyn Filter>));
    Chain::new(filters)
}

fn respond(wanted: &config::Respond) -> Respond {
    let body = match wanted.body.as_literal() {
        Some(text) => Wording::Fixed(text.to_owned().into()),
        None => Wording::Template(wanted.body.clone()),
    };
    let content_type = HeaderValue::from_str(&wanted.content_type);
    let content_type = content_type.unwrap_or(HeaderValue::from_static("text/plain"));
    let mut lines = Vec::new();
    write_field(&mut lines, header::CONTENT_TYPE.as_str().as_bytes(), content_type.as_bytes());
    Respond {
        status: status(wanted.status),
        body,
        fields: FieldText { lines: lines.into(), dated: false, length: None, sized: false },
    }
}

/// The pages of a site or a route.
pub(super) fn pages(wanted: Option<&config::ErrorPages>) -> Option<Arc<ErrorPages>> {
    let page = |it: &config::ErrorPage| ErrorPage {
        statuses: it.statuses.clone(),
        content_type: files::content_type_of(&it.file),
        body: it.body.clone(),
    };
    let wanted = wanted.filter(|it| !it.pages.is_empty())?;
    let pages = wanted.pages.iter().map(page).collect();
    Some(Arc::new(ErrorPages { pages, of_servers: wanted.of_servers }))
}

fn tries(wanted: &config::Files) -> Option<Tries> {
    let missing = status(wanted.missing);
    (!wanted.try_files.is_empty()).then(|| Tries { paths: wanted.try_files.clone(), missing })
}

fn target(wanted: &config::Route) -> PathEdit {
    PathEdit { strip_prefix: wanted.strip_prefix.clone(), rewrite: wanted.rewrite.clone() }
}

fn key(upstream: &config::Upstream) -> Key {
    match &upstream.strategy {
        config::Strategy::IpHash => Key::ClientIp,
        config::Strategy::ConsistentHash(template) => Key::Text(template.clone()),
        _ => Key::None,
    }
}

/// The config has checked that it is a status.
pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
