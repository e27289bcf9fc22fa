//! `/ready`: whether clients are to be sent to this replica, and what it depends on. A balancer asks; what all replicas
//! depend on does not make one unready, or none would be left that says what is wrong.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Json, Router, response::IntoResponse, routing::get};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, HeaderName},
};
use serde::Serialize;

use crate::{
    bridges::status::{State, Watched},
    cluster::replicas::Replicas,
};

/// Whether this replica takes new connections, and how its replicas and bridges are.
#[derive(Clone)]
pub(super) struct Readiness {
    is_draining: Arc<AtomicBool>,
    replicas: Option<Arc<Replicas>>,
    bridges: Arc<[Watched]>,
}

#[derive(Serialize)]
struct Report {
    ready: bool,
    draining: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<ReplicaReport>,
    /// The state of each bridge, by its name.
    #[serde(rename = "neighbours", skip_serializing_if = "BTreeMap::is_empty")]
    bridges: BTreeMap<String, Bus>,
}

/// The state of a bridge. Its reason goes to the log alone: anybody may ask, and reasons name machines.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Bus {
    StandingBy,
    Connected,
    Away { since: String },
    Misdeclared,
}

impl From<State> for Bus {
    fn from(state: State) -> Self {
        match state {
            State::StandingBy => Self::StandingBy,
            State::Connected => Self::Connected,
            State::Away { since, .. } => Self::Away {
                since: since.to_string(),
            },
            State::Misdeclared { .. } => Self::Misdeclared,
        }
    }
}

#[derive(Serialize)]
struct ReplicaReport {
    /// The id of this one.
    id: String,
    /// How many live, as far as this one knows.
    count: usize,
    /// Whether the others know that this one lives: not while Redis is away.
    known: bool,
}

impl Readiness {
    pub(super) fn new(replicas: Option<Arc<Replicas>>, bridges: Arc<[Watched]>) -> Self {
        Self {
            is_draining: Arc::default(),
            replicas,
            bridges,
        }
    }

    /// Not ready from now on.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn router(self) -> Router {
        Router::new().route("/ready", get(async move || self.answer()))
    }

    fn answer(&self) -> impl IntoResponse + use<> {
        let draining = self.is_draining.load(Ordering::Relaxed);
        let report = Report {
            ready: !draining,
            draining,
            replicas: self.replicas.as_ref().map(|replicas| ReplicaReport {
                id: replicas.id().to_string(),
                count: replicas.count(),
                known: !replicas.is_lapsed(),
            }),
            bridges: (self.bridges.iter())
                .map(|it| (it.name.to_string(), it.state.borrow().clone().into()))
                .collect(),
        };
        let status = if report.ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let fresh: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];
        (status, fresh, Json(report))
    }
}
