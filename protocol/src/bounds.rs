//! Every limit of the wire and of a task description, with its reason.

use std::time::Duration;

/// A control frame, in bytes. A thousand launches of 2 KiB fit; a peer cannot make us hold more.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// Open files that accompany one order to an executor: Linux lets no more pass with one message.
pub const START_FILES_MAX: usize = 253;
/// Tasks in one launch, so that a launch of ordinary specs fits a frame.
pub const LAUNCH_TASKS_MAX: usize = 1_000;
/// An id (agent, framework, task), in bytes: it names folders, so it stays below `NAME_MAX`.
pub const ID_BYTES_MAX: usize = 128;
/// Levels and bytes of a role path such as `eng/batch/nightly`.
pub const ROLE_BYTES_MAX: usize = 256;
/// Roles that one framework asks in, or that one call or offer names.
pub const ROLES_MAX: usize = 64;
/// Kinds of resources in one vector; more are refused when the vector is parsed.
pub const RESOURCE_KINDS_MAX: usize = 32;
/// Arguments or environment entries of one task.
pub const ARGS_MAX: usize = 4_096;
/// Bytes of all arguments, or of the whole environment, of one task.
pub const ARGS_BYTES_MAX: usize = 128 << 10;
/// Labels of one task; each key or value has at most [`ID_BYTES_MAX`] bytes.
pub const LABELS_MAX: usize = 64;
/// Directories granted to one task.
pub const DIRS_MAX: usize = 32;
/// Inputs of one task: each is an open file that comes with the order to start it, see
/// [`START_FILES_MAX`].
pub const INPUTS_MAX: usize = 64;
/// Outputs of one task: they are told with its end.
pub const OUTPUTS_MAX: usize = 64;
/// Bytes of the sentence why an output of a task is missing: there is one for each, in one update.
pub const MISSING_WHY_BYTES_MAX: usize = 512;
/// The path of an input or output, in bytes.
pub const PATH_BYTES_MAX: usize = 1 << 10;
/// Volumes of one agent: all of them fit a frame.
pub const VOLUMES_MAX: usize = 1_000;
/// Peers that one task may be granted.
pub const NETWORK_MAX: usize = 64;
/// Names of features in one list: what an agent enforces, a peer speaks.
pub const FEATURES_MAX: usize = 256;
/// A node's name, in bytes: DNS allows 253.
pub const HOSTNAME_BYTES_MAX: usize = 256;
/// A result value that a guest hands to its framework, in bytes: it travels in a status update.
pub const RESULT_BYTES_MAX: usize = 256 << 10;
/// A checkpoint of a guest's own state, in bytes: it is a row of the cluster's store, and travels
/// in orders to start.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 10;
/// How often a guest may be started again within one attempt.
pub const RETRY_TIMES_MAX: u32 = 1_000;
/// The longest wait before a guest is started again: who fixes what it waits for sees it go on
/// within minutes.
pub const RETRY_WAIT_MAX: Duration = Duration::from_secs(300);
/// The longest that a guest may go on after it was told to end: its resources are wanted elsewhere.
pub const KILL_GRACE_MAX: Duration = Duration::from_secs(300);
/// A message between a task and its framework, in bytes: it stands in line with status updates.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Text of a progress report, in bytes.
pub const PROGRESS_BYTES_MAX: usize = 256;
/// Frames of a backtrace kept in an outcome.
pub const BACKTRACE_FRAMES_MAX: usize = 20;
/// Bytes of any sentence that explains an outcome or a refusal.
pub const WHY_BYTES_MAX: usize = 4 << 10;
/// A module, in bytes; compile time grows with it, and 70 MB interpreters are real.
pub const MODULE_BYTES_MAX: u64 = 256 << 20;
/// A blob that is no module (standard input that is not streamed, an input or output), in bytes.
pub const BLOB_BYTES_MAX: u64 = 4 << 30;
/// A piece of a standard input that is streamed, on its way into a guest, in bytes.
pub const FEED_FRAME_BYTES_MAX: usize = 64 << 10;
/// Tasks whose outputs one request reads: so many small ones that the request costs little.
pub const OUTPUT_TASKS_MAX: usize = 1_000;
/// Bytes of a task's output in one piece of the answer.
pub const OUTPUT_PIECE_BYTES_MAX: usize = 64 << 10;
/// Tasks that one agent keeps, queued and running: each costs about 1 KiB of memory and a record.
pub const AGENT_TASKS_MAX: usize = 20_000;
/// The longest time a decline may keep an offer away (a year, as in Mesos).
pub const REFUSE_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
/// What a decline means that does not say for how long (as in Mesos).
pub const REFUSE_DEFAULT: Duration = Duration::from_secs(5);

/// Wasm stack of a task that does not ask for another, in bytes.
pub const STACK_BYTES_DEFAULT: u64 = 512 << 10;
/// The largest Wasm stack a task may ask for, in bytes.
pub const STACK_BYTES_MAX: u64 = 512 << 10;
/// Output (stdout and stderr together) of a task that does not ask for another limit, in bytes.
pub const OUTPUT_BYTES_DEFAULT: u64 = 64 << 20;
/// Bytes of the files in a task's sandbox directory, unless it asks for another limit.
pub const DISK_BYTES_DEFAULT: u64 = 1 << 30;
/// Files, directories and links in a task's sandbox directory, unless it asks for another limit.
pub const FILES_DEFAULT: u64 = 10_000;
/// What a task may have open at once, unless it asks for another limit.
pub const HANDLES_DEFAULT: u32 = 256;
/// The most that a task may have open at once: they are descriptors of an executor, which all its
/// guests share.
pub const HANDLES_MAX: u32 = 4_096;
/// The end of a failed task's stderr that travels with its outcome, in bytes.
pub const LAST_WORDS_BYTES_MAX: usize = 1 << 10;
/// Values that a framework keeps at the master.
pub const STATE_ENTRIES_MAX: usize = 4_096;
/// All that a framework keeps at the master, keys and values, in bytes: it is told in one frame.
pub const STATE_BYTES_MAX: usize = 1 << 20;
/// One value that a framework keeps at the master, in bytes: each is a row of the cluster's store.
pub const STATE_VALUE_BYTES_MAX: usize = 256 << 10;
/// A question for a framework, or its answer, in bytes.
pub const QUESTION_BYTES_MAX: usize = 1 << 20;
/// A blob that a scheduler stores with a call, in bytes.
pub const PUT_BYTES_MAX: usize = 1 << 20;
/// Questions for one framework that may wait for an answer.
pub const QUESTIONS_MAX: usize = 256;
/// How long a framework may take to answer a question: who asks is a person at a terminal.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// A call or an event of a framework that is a guest, in bytes: it travels in a frame of its
/// executor, with the task's key.
pub const HOSTED_BYTES_MAX: usize = FRAME_BYTES_MAX - 4_096;
/// Least offers that a framework may name in a role: it needs one, or one for each kind of task.
pub const FLOORS_MAX: usize = 8;
/// Groups of constraints that a framework may name in a role: each is looked at for each offer.
pub const CONSTRAINT_GROUPS_MAX: usize = 16;
/// Constraints in one group.
pub const CONSTRAINTS_MAX: usize = 16;
