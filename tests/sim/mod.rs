//! The loop itself, on a simulated network with faults.

/// The example for users, which is a test itself.
#[path = "../../shard/examples/simulated.rs"]
mod example;
mod fan_out;
mod faults;
mod happy_eyeballs;
mod links;
mod many_shards;
mod moves;
mod one_shard;
mod regressions;
mod tangle;

#[test]
fn the_example_of_a_simulated_connection_runs() {
    example::main().expect("good settings");
}
