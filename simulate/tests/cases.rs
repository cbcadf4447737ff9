//! Runs every case of `cases/`: what a scenario must print was reasoned out by hand, from the
//! rules, by somebody who had not seen the allocator.

use serde_json::Value;
use std::{fs, path::Path};

/// What of a case is not so.
fn faults(case: &Value) -> Vec<String> {
    let printed = skep_simulate::simulate(&case["scenario"].to_string());
    if let Some(parts) = case["error"].as_array() {
        return match printed {
            Ok(_) => vec!["it was accepted".into()],
            Err(error) => {
                let said = error.to_string();
                let parts = parts.iter().filter_map(Value::as_str);
                let missing = parts.filter(|part| !said.contains(part));
                missing.map(|part| format!("{said:?} does not name {part:?}")).collect()
            }
        };
    }
    let printed = match printed {
        Ok(printed) => printed,
        Err(error) => return vec![error.to_string()],
    };
    let expected = case["expect"].as_array().expect("a case expects something");
    let mut faults = Vec::new();
    for expected in expected {
        let step = expected["step"].as_u64().expect("an expectation names its step");
        let line = printed.iter().find(|line| line["step"].as_u64() == Some(step));
        for (key, wanted) in expected.as_object().expect("an expectation is an object") {
            let got = line.map(|line| &line[key]);
            if !got.is_some_and(|got| matches(key, wanted, got)) {
                faults.push(format!("step {step}: {key}\n  wanted {wanted}\n  got    {got:?}"));
            }
        }
    }
    faults
}

fn matches(key: &str, wanted: &Value, got: &Value) -> bool {
    match (wanted, got) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        // Roles are found by name; of each the stated fields count.
        (Value::Array(wanted), Value::Array(got)) if key == "roles" => wanted.iter().all(|role| {
            let same = got.iter().find(|other| other["role"] == role["role"]);
            same.is_some_and(|other| contains(role, other))
        }),
        (Value::Array(wanted), Value::Array(got)) => {
            wanted.len() == got.len() && wanted.iter().zip(got).all(|(a, b)| contains(a, b))
        }
        _ => contains(wanted, got),
    }
}

/// Whether `got` has all that `wanted` states; resources are the same on both sides.
fn contains(wanted: &Value, got: &Value) -> bool {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => wanted.iter().all(|(key, value)| {
            let is_whole = ["resources", "revocable", "allocated"].contains(&key.as_str());
            got.get(key).is_some_and(|got| {
                matches(key, value, got)
                    && (!is_whole
                        || value.as_object().map(|o| o.len()) == got.as_object().map(|o| o.len()))
            })
        }),
        (Value::Number(_), Value::Number(_)) | (Value::Array(_), Value::Array(_)) => {
            matches("", wanted, got)
        }
        _ => wanted == got,
    }
}

#[test]
fn every_case_prints_what_was_reasoned_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut count = 0;
    let mut wrong = String::new();
    for entry in fs::read_dir(folder).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).expect("a case");
        let case: Value = serde_json::from_str(&text).expect("a case is JSON");
        for fault in faults(&case) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            wrong += &format!("{name}: {fault}\n  why: {}\n", case["why"]);
        }
    }
    assert!(count >= 100, "only {count} cases were found");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_scenario_may_be_toml() {
    let text = r#"
        [[steps]]
        do = "add_framework"
        framework = "f"
        roles = ["r"]

        [[steps]]
        do = "add_agent"
        agent = "a"
        total = { cpus = 1.5, mem = 64 }
    "#;
    let printed = skep_simulate::simulate(text).expect("a scenario");
    assert_eq!(printed[1]["offers"][0]["resources"]["cpus"], 1.5);
}

#[test]
fn a_plot_shows_every_role() {
    let text = r#"{"steps": [
        {"do": "add_agent", "agent": "a", "total": {"cpus": 2}},
        {"do": "add_framework", "framework": "f", "roles": ["eng/web"]}]}"#;
    let svg = skep_simulate::plot(text).expect("a drawing");
    assert!(svg.starts_with("<svg") && svg.contains("eng/web"), "{svg}");
}
