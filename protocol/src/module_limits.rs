//! What a module may be like, and what compiling it may take: an operator's setting, handed from
//! the agent to the compiler that it starts.
//!
//! Always holds: what is written reads back the same, and names only what differs from the
//! defaults. The defaults admit every real program that we know of (interpreters and compilers of
//! 70 MB too) and turn the crudest compile bombs away with a clear word.

use std::{fmt, str::FromStr, time::Duration};

/// See the module. Text such as `functions=500000,compile-seconds=60` changes single ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleLimits {
    /// Functions of a module. The largest programs have a hundred thousand.
    pub functions: u64,
    /// Bytes of one function. Interpreters' main loops have half a million; compiling takes more
    /// than linear time.
    pub function_bytes: u64,
    /// Local variables of one function.
    pub locals: u64,
    /// Loops of one function times its locals: what the compiler keeps books of, and where a module
    /// of 170 KB can cost fifteen seconds and a gigabyte. Interpreters' main loops have a few
    /// millions.
    pub loop_locals: u64,
    /// Blocks within blocks: a switch of that many cases is that deep.
    pub nesting: u64,
    /// Targets of one `br_table`. The compiler itself gives up at 65,536.
    pub branch_targets: u64,
    /// Imports: there are not a hundred functions to import.
    pub imports: u64,
    /// Types, exports, globals, and segments of each kind.
    pub items: u64,
    /// Elements of a table at its start.
    pub table_elements: u64,
    /// Seconds of processor time that every module may take. Real code takes two for each MiB.
    pub compile_seconds: u64,
    /// Seconds of processor time on top, for each MiB of the module.
    pub compile_seconds_per_mib: u64,
    /// Bytes of memory that compiling every module may take.
    pub compile_memory_bytes: u64,
    /// Bytes of memory on top, for each byte of the module. Real code takes some fifty.
    pub compile_memory_bytes_per_byte: u64,
}

impl Default for ModuleLimits {
    fn default() -> Self {
        Self {
            functions: 250_000,
            function_bytes: 2 << 20,
            locals: 20_000,
            loop_locals: 20_000_000,
            nesting: 20_000,
            branch_targets: 65_000,
            imports: 1_000,
            items: 100_000,
            table_elements: 1_000_000,
            compile_seconds: 10,
            compile_seconds_per_mib: 5,
            compile_memory_bytes: 1536 << 20,
            compile_memory_bytes_per_byte: 64,
        }
    }
}

/// No limit may be larger: products of two of them must be numbers too.
const VALUE_MAX: u64 = 1 << 40;
const NAMES: [&str; 13] = [
    "functions",
    "function-bytes",
    "locals",
    "loop-locals",
    "nesting",
    "branch-targets",
    "imports",
    "items",
    "table-elements",
    "compile-seconds",
    "compile-seconds-per-mib",
    "compile-memory-bytes",
    "compile-memory-bytes-per-byte",
];

impl ModuleLimits {
    /// The processor time that compiling a module of so many bytes may take.
    pub fn compile_cpu(&self, module_bytes: u64) -> Duration {
        let mebibytes = module_bytes.div_ceil(1 << 20);
        let more = self.compile_seconds_per_mib.saturating_mul(mebibytes);
        Duration::from_secs(self.compile_seconds.saturating_add(more))
    }

    /// The bytes of memory that compiling a module of so many bytes may take.
    pub fn compile_memory(&self, module_bytes: u64) -> u64 {
        let more = self.compile_memory_bytes_per_byte.saturating_mul(module_bytes);
        self.compile_memory_bytes.saturating_add(more)
    }

    /// Each limit, in the order of [`NAMES`].
    fn values(&mut self) -> [&mut u64; NAMES.len()] {
        [
            &mut self.functions,
            &mut self.function_bytes,
            &mut self.locals,
            &mut self.loop_locals,
            &mut self.nesting,
            &mut self.branch_targets,
            &mut self.imports,
            &mut self.items,
            &mut self.table_elements,
            &mut self.compile_seconds,
            &mut self.compile_seconds_per_mib,
            &mut self.compile_memory_bytes,
            &mut self.compile_memory_bytes_per_byte,
        ]
    }
}

/// A text is no list of limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleLimitsError {
    /// An entry has no value.
    #[error("{entry:?} is no limit: write NAME=NUMBER, as in functions=500000")]
    Entry {
        /// The entry.
        entry: String,
    },
    /// There is no such limit.
    #[error("there is no limit {name:?}; there are {}", NAMES.join(", "))]
    Name {
        /// The name.
        name: String,
    },
    /// The value is no number, or one out of bounds.
    #[error("{name}={value:?}: a limit is a whole number from 1 to {VALUE_MAX}")]
    Value {
        /// Which limit.
        name: String,
        /// What it was to be.
        value: String,
    },
}

impl FromStr for ModuleLimits {
    type Err = ModuleLimitsError;

    fn from_str(text: &str) -> Result<Self, ModuleLimitsError> {
        let mut limits = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let Some((name, value)) = entry.split_once('=') else {
                return Err(ModuleLimitsError::Entry { entry: entry.into() });
            };
            let Some(place) = NAMES.iter().position(|known| *known == name) else {
                return Err(ModuleLimitsError::Name { name: name.into() });
            };
            match value.parse() {
                Ok(number @ 1..=VALUE_MAX) => *limits.values()[place] = number,
                _ => {
                    return Err(ModuleLimitsError::Value {
                        name: name.into(),
                        value: value.into(),
                    });
                }
            }
        }
        Ok(limits)
    }
}

impl fmt::Display for ModuleLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut ours, mut defaults) = (*self, Self::default());
        let mut separator = "";
        for ((name, value), default) in NAMES.iter().zip(ours.values()).zip(defaults.values()) {
            if value != default {
                write!(f, "{separator}{name}={value}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_changes_what_it_names_and_is_written_the_same() {
        let text = "functions=500000,compile-memory-bytes-per-byte=128";
        let limits: ModuleLimits = text.parse().expect("limits");
        let expected = ModuleLimits {
            functions: 500_000,
            compile_memory_bytes_per_byte: 128,
            ..ModuleLimits::default()
        };
        assert_eq!(limits, expected);
        assert_eq!(limits.to_string(), text);
        assert_eq!("".parse(), Ok(ModuleLimits::default()));
        assert_eq!(ModuleLimits::default().to_string(), "");
    }

    #[test]
    fn each_limit_has_its_name() {
        for (place, name) in NAMES.iter().enumerate() {
            let mut limits: ModuleLimits = format!("{name}=7").parse().expect(name);
            let values: Vec<u64> = limits.values().iter().map(|value| **value).collect();
            let sevens: Vec<usize> = (0..values.len()).filter(|at| values[*at] == 7).collect();
            assert_eq!(sevens, [place]);
        }
    }

    #[test]
    fn a_wrong_list_says_what_is_wrong() {
        let told = |text: &str| text.parse::<ModuleLimits>().expect_err(text).to_string();
        assert!(told("functions").starts_with("\"functions\" is no limit"));
        assert!(
            told("threads=1").starts_with("there is no limit \"threads\"; there are functions")
        );
        for value in ["0", "-1", "x", "", "1099511627777"] {
            let text = format!("locals={value}");
            assert!(told(&text).contains("a whole number from 1 to 1099511627776"), "{text}");
        }
    }

    #[test]
    fn larger_modules_may_take_more() {
        let limits = ModuleLimits::default();
        assert_eq!(limits.compile_cpu(1), Duration::from_secs(15));
        assert_eq!(limits.compile_cpu(72 << 20), Duration::from_secs(370));
        assert_eq!(limits.compile_memory(1 << 20), (1536 << 20) + (64 << 20));
        assert_eq!(limits.compile_cpu(u64::MAX).as_secs() >> 40, 5 << 4);
    }
}
