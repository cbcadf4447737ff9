//! Who a guest is: read once from the environment that the agent sets.
//!
//! The ids are kept as the text that the agent wrote. A guest compares and prints them, it never
//! makes one; their rules stay with the agent.

use std::{env, error, fmt, str::FromStr};

/// The task that this program runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The task's id, unique within its framework.
    pub task: String,
    /// Which start of the task this is, from 1.
    pub attempt: u32,
    /// The task's place in its array; `None` when it is not one of an array.
    pub index: Option<u64>,
    /// The agent that runs it.
    pub agent: String,
    /// The framework that launched it.
    pub framework: String,
}

/// Why there is no context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextError {
    /// A name that every task gets is not set: the program does not run as a task of skep.
    Missing {
        /// The name, such as `SKEP_TASK_ID`.
        name: &'static str,
    },
    /// A name is set to what no agent writes.
    Malformed {
        /// The name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

impl Context {
    /// The context of this program.
    ///
    /// # Errors
    /// [`ContextError::Missing`] when the program was not started by skep, which most programs
    /// take as a reason to go on without; [`ContextError::Malformed`] when someone else has set
    /// the names.
    pub fn current() -> Result<Self, ContextError> {
        Self::read(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn read(lookup: impl Fn(&'static str) -> Option<String>) -> Result<Self, ContextError> {
        let text = |name| {
            let value = lookup(name).ok_or(ContextError::Missing { name })?;
            if value.is_empty() {
                return Err(ContextError::Malformed { name, value, expected: "an id" });
            }
            Ok(value)
        };
        Ok(Self {
            task: text("SKEP_TASK_ID")?,
            attempt: number("SKEP_TASK_ATTEMPT", text("SKEP_TASK_ATTEMPT")?, "a count from 1")?,
            index: lookup("SKEP_TASK_INDEX")
                .map(|value| number("SKEP_TASK_INDEX", value, "a count from 0"))
                .transpose()?,
            agent: text("SKEP_AGENT_ID")?,
            framework: text("SKEP_FRAMEWORK_ID")?,
        })
    }
}

fn number<T: FromStr>(
    name: &'static str,
    value: String,
    expected: &'static str,
) -> Result<T, ContextError> {
    value.parse().map_err(|_| ContextError::Malformed { name, value, expected })
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name } => {
                write!(f, "{name} is not set: this program does not run as a task of skep")
            }
            Self::Malformed { name, value, expected } => {
                write!(f, "{name} is {value:?}, not {expected}: leave the SKEP_ names to the agent")
            }
        }
    }
}

impl error::Error for ContextError {}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [(&str, &str); 5] = [
        ("SKEP_TASK_ID", "render.17"),
        ("SKEP_TASK_ATTEMPT", "2"),
        ("SKEP_TASK_INDEX", "17"),
        ("SKEP_AGENT_ID", "attic"),
        ("SKEP_FRAMEWORK_ID", "f1"),
    ];

    /// Reads a context where `name` has `value`, and is not set if that is `None`.
    fn with(name: &str, value: Option<&str>) -> Result<Context, ContextError> {
        Context::read(|asked| match asked == name {
            true => value.map(str::to_owned),
            false => NAMES.iter().find(|(n, _)| *n == asked).map(|(_, v)| (*v).to_owned()),
        })
    }

    #[test]
    fn a_task_of_an_array_knows_its_place() {
        let context = with("SKEP_TASK_ID", Some("render.17"));
        let expected = Context {
            task: "render.17".into(),
            attempt: 2,
            index: Some(17),
            agent: "attic".into(),
            framework: "f1".into(),
        };
        assert_eq!(context, Ok(expected));
    }

    #[test]
    fn a_single_task_has_no_index() {
        assert_eq!(with("SKEP_TASK_INDEX", None).map(|context| context.index), Ok(None));
    }

    #[test]
    fn a_program_outside_of_skep_learns_which_name_is_missing() {
        for name in ["SKEP_TASK_ID", "SKEP_TASK_ATTEMPT", "SKEP_AGENT_ID", "SKEP_FRAMEWORK_ID"] {
            assert_eq!(with(name, None), Err(ContextError::Missing { name }));
        }
    }

    #[test]
    fn names_that_no_agent_wrote_are_refused_with_what_would_be_right() {
        let cases = [
            ("SKEP_TASK_ID", "", "an id"),
            ("SKEP_TASK_ATTEMPT", "-1", "a count from 1"),
            ("SKEP_TASK_ATTEMPT", "two", "a count from 1"),
            ("SKEP_TASK_INDEX", "", "a count from 0"),
        ];
        for (name, value, expected) in cases {
            let error = ContextError::Malformed { name, value: value.into(), expected };
            assert_eq!(with(name, Some(value)), Err(error.clone()));
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
