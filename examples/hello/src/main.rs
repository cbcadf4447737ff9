//! The smallest guest: it says who it is, in skep and in any other WASI runtime.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a guest speaks through its standard output"
)]

use skep_guest::{Context, ContextError};

fn main() {
    match Context::current() {
        Ok(context) => greet(&context),
        Err(ContextError::Missing { .. }) => println!("Hello from a program on its own"),
        Err(error) => {
            eprintln!("hello: {error}");
            std::process::exit(1);
        }
    }
}

fn greet(context: &Context) {
    let Context { task, attempt, index, agent, framework: _ } = context;
    let place = index.map(|index| format!(", number {index}")).unwrap_or_default();
    let again = if *attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
    println!("Hello from task {task}{place}{again} on agent {agent}");
}
