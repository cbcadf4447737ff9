//! What frameworks keep at the master for their next instances.
//!
//! Always holds: what is kept is durable before any later call of the framework has an effect; all
//! of a framework's state can be told in one frame; nothing is left of a framework that is gone.

use crate::{input::ConnectionId, master::Master, record::Record};
use skep_protocol::{
    FrameworkId, Rejection,
    bounds::{STATE_BYTES_MAX, STATE_ENTRIES_MAX},
    framework::{Event, State},
};
use std::collections::BTreeMap;

impl Master {
    pub(crate) fn save(
        &mut self,
        connection: ConnectionId,
        framework: &FrameworkId,
        entries: BTreeMap<String, Option<Vec<u8>>>,
    ) {
        let mut state = self.state_of_framework(framework);
        for (key, value) in &entries {
            match value {
                Some(value) => state.insert(key.clone(), value.clone()),
                None => state.remove(key),
            };
        }
        let bytes: usize = state.iter().map(|(key, value)| key.len() + value.len()).sum();
        let too_many = |what: &str, max: usize| {
            let (what, max) = (what.into(), max as u64);
            Event::Refused { rejection: Rejection::TooMany { what, max } }
        };
        if bytes > STATE_BYTES_MAX {
            let refused = too_many("bytes of a framework's state", STATE_BYTES_MAX);
            return self.send_framework(connection, refused);
        }
        if state.len() > STATE_ENTRIES_MAX {
            let refused = too_many("values of a framework's state", STATE_ENTRIES_MAX);
            return self.send_framework(connection, refused);
        }
        for (key, value) in entries {
            self.keep_value(framework, key, value);
        }
    }

    fn keep_value(&mut self, framework: &FrameworkId, key: String, value: Option<Vec<u8>>) {
        let kept = self.durable.states.get(framework).and_then(|state| state.get(&key));
        if kept == value.as_ref() {
            return;
        }
        let framework = framework.clone();
        self.persist(match value {
            Some(value) => Record::StateSaved { framework, key, value },
            None => Record::StateForgotten { framework, key },
        });
    }

    /// All that a framework keeps.
    pub(crate) fn state_of_framework(&self, framework: &FrameworkId) -> State {
        self.durable.states.get(framework).cloned().unwrap_or_default()
    }

    pub(crate) fn forget_state_of(&mut self, framework: &FrameworkId) {
        for key in self.state_of_framework(framework).into_keys() {
            self.keep_value(framework, key, None);
        }
    }
}
