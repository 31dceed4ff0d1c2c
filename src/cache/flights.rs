//! The fetches that are under way, by key.
//!
//! Owns: who fetches and who waits. May touch: nothing outside this room.

use super::{
    flight::{Flight, FlightBody, Settled},
    store::{Label, StoreKey},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// All fetches of a cache that others may wait for.
#[derive(Debug, Default)]
pub struct Flights(Mutex<HashMap<StoreKey, Arc<Flight>>>);

/// What to do for a response that is not there.
pub enum Joined {
    /// To fetch it, for others, too.
    Lead(Ticket),
    /// To wait for somebody else's fetch.
    Follow(FlightBody),
}

/// Who has it fetches. Dropping it lets others fetch anew.
#[derive(Debug)]
pub struct Ticket {
    flights: Option<Arc<Flights>>,
    /// What others join it by.
    pub key: StoreKey,
    /// What others wait for.
    pub flight: Arc<Flight>,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<StoreKey, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the fetch of a key, or begins one. What was purged since it began is not joined: whoever
    /// comes after a purge must not get what was before it.
    pub fn join(
        self: &Arc<Self>,
        key: StoreKey,
        label: Label,
        is_alive: impl FnOnce(&Label) -> bool,
    ) -> Joined {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&key)
            && is_alive(&flight.label)
        {
            return Joined::Follow(flight.attend());
        }
        let flight = Arc::new(Flight::new(label));
        flights.insert(key, Arc::clone(&flight));
        Joined::Lead(Ticket { flights: Some(Arc::clone(self)), key, flight })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }
}

impl Ticket {
    /// For a fetch that nobody else waits for.
    pub fn alone(key: StoreKey, label: Label) -> Self {
        Self { flights: None, key, flight: Arc::new(Flight::new(label)) }
    }

    /// Nobody joins it any more.
    pub fn leave(&mut self) {
        let Some(flights) = self.flights.take() else { return };
        let mut flights = flights.lock();
        if flights.get(&self.key).is_some_and(|it| Arc::ptr_eq(it, &self.flight)) {
            flights.remove(&self.key);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave();
        // The task has ended without a word, as by a panic or a stop.
        self.flight.settle(Settled::Pass);
        if self.flight.is_unfinished() {
            self.flight.finish(false);
        }
    }
}
