//! What came of it, in lines for people: pure.

use super::{
    count::{Counts, Gap, Witness, longest_gap},
    faults::Kind,
    notes::What,
    struck::Struck,
};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// One fault, as it is told while the run goes on.
pub(crate) fn line(elapsed: Duration, struck: &Struck, witnesses: &[Witness]) -> String {
    let seconds = elapsed.as_secs();
    let lasted = seconds_of(struck.healed.saturating_sub(struck.from));
    let recovered = struck.recovered_ms.map_or_else(
        || "NOT RECOVERED".to_owned(),
        |millis| format!("recovered in {} s", seconds_of(millis)),
    );
    let (kind, target) = (struck.kind, &struck.target);
    let ends: usize = witnesses.iter().map(ends).sum();
    format!(
        "{:02}:{:02} {kind} ({target}) for {lasted} s: {recovered}; {ends} ends so far",
        seconds / 60,
        seconds % 60,
    )
}

fn ends(witness: &Witness) -> usize {
    let is_end = |what: &What| matches!(what, What::Told(word) if word.end.is_some());
    witness.notes.iter().filter(|note| is_end(&note.what)).count()
}

/// All of it.
pub(crate) fn tell(
    counts: &Counts,
    all: &[Struck],
    witnesses: &[Witness],
    ended: &[String],
) -> String {
    let mut told = String::new();
    let mut add = |line: String| {
        let _ = writeln!(told, "{line}");
    };
    add(format!("\n| {:<32} | faults | median | most, s | not recovered |", "fault"));
    add(format!("|{}|---:|---:|---:|---:|", "-".repeat(34)));
    for (kind, times) in by_kind(all) {
        let name = kind.to_string();
        let mut known: Vec<u64> = times.iter().flatten().copied().collect();
        known.sort_unstable();
        let median = known.get(known.len() / 2).map_or_else(String::new, |t| seconds_of(*t));
        let most = known.last().map_or_else(String::new, |t| seconds_of(*t));
        let open = times.len() - known.len();
        add(format!("| {name:<32} | {} | {median} | {most} | {open} |", times.len()));
    }
    add(String::new());
    let Counts { accepted, finished, failed, retried, sent_again, told_again, lost, doubled } =
        counts;
    add(format!("tasks accepted {accepted}, finished {finished}, failed {failed}"));
    add(format!("attempts retried {retried}, launches sent again {sent_again}"));
    add(format!("ends told again to another instance of a framework {told_again}"));
    let until = all.last().map_or(0, |struck| struck.healed);
    let from = all.first().map_or(0, |struck| struck.from);
    for witness in witnesses {
        let Gap { lasted, from } = longest_gap(&witness.notes, from, until);
        let during = all.iter().rfind(|struck| struck.from <= from + 1_000);
        let during = during.map_or_else(String::new, |s| format!(", about the {}", s.kind));
        let lasted = lasted.as_secs_f64();
        add(format!("longest time without offers for {}: {lasted:.1} s{during}", witness.name));
    }
    ended.iter().for_each(|line| add(line.clone()));
    add(format!("lost {}", lost.len()));
    lost.iter().for_each(|line| add(format!("  {line}")));
    add(format!("doubled {}", doubled.len()));
    doubled.iter().for_each(|line| add(format!("  {line}")));
    told
}

fn by_kind(all: &[Struck]) -> BTreeMap<Kind, Vec<Option<u64>>> {
    let mut kinds: BTreeMap<Kind, Vec<Option<u64>>> = BTreeMap::new();
    for struck in all {
        kinds.entry(struck.kind).or_default().push(struck.recovered_ms);
    }
    kinds
}

fn seconds_of(millis: u64) -> String {
    format!("{:.1}", Duration::from_millis(millis).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::struck::Criterion;

    fn struck(kind: Kind, recovered_ms: Option<u64>) -> Struck {
        Struck {
            kind,
            target: "master1".into(),
            from: 1_000,
            healed: 3_500,
            clock: 1_000,
            criterion: Criterion::Everybody,
            recovered_ms,
        }
    }

    #[test]
    fn a_fault_is_told_with_how_long_it_lasted_and_what_came_of_it() {
        let told = line(Duration::from_secs(75), &struck(Kind::LeaderKilled, Some(7_230)), &[]);
        let expected = "01:15 leader killed (master1) for 2.5 s: recovered in 7.2 s; 0 ends so far";
        assert_eq!(told, expected);
        let told = line(Duration::ZERO, &struck(Kind::LeaderKilled, None), &[]);
        assert!(told.contains("NOT RECOVERED"));
    }

    #[test]
    fn times_are_summed_up_by_kind() {
        let all = [Some(3_000), None, Some(1_000), Some(2_000)].map(|t| struck(Kind::EtcdCut, t));
        let counts = Counts { lost: vec!["f0/t-1#1".into()], ..Counts::default() };
        let told = tell(&counts, &all, &[], &["agent1 ended".into()]);
        let row = told.lines().find(|line| line.contains("etcd member cut off")).expect("a row");
        assert!(row.ends_with("| 4 | 2.0 | 3.0 | 1 |"), "{row}");
        assert!(told.contains("lost 1\n  f0/t-1#1\ndoubled 0\n"), "{told}");
        assert!(told.contains("agent1 ended"));
    }
}
