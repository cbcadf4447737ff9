//! What all of these frameworks answer to questions, and how.

use serde::{Serialize, de::DeserializeOwned};
use skep_protocol::TaskId;
use skep_scheduler::{Driver, Question};

/// What a name may have: it is a part of its tasks' ids.
const NAME_BYTES_MAX: usize = 60;

/// Checks the name of what is kept.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.len() > NAME_BYTES_MAX || TaskId::new(name).is_err() {
        let max = NAME_BYTES_MAX;
        return Err(format!("name: {name:?}: letters, digits, '.', '_' and '-', {max} at most"));
    }
    Ok(())
}

/// Reads the order in a question, obeys, and answers.
pub(crate) fn answer<O: DeserializeOwned, A: Serialize>(
    driver: &mut Driver,
    question: &Question,
    obey: impl FnOnce(&mut Driver, O) -> Result<A, String>,
) {
    let answered = match serde_json::from_slice(&question.message) {
        Ok(order) => obey(driver, order),
        Err(error) => Err(format!("this is no order that this framework knows: {error}")),
    };
    match answered.and_then(|answer| serde_json::to_vec(&answer).map_err(|e| e.to_string())) {
        Ok(answer) => driver.reply(question.id, answer),
        Err(why) => driver.refuse(question.id, why),
    }
}
