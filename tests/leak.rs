//! `leak --clients N`: clients that send and close in one go leave no descriptor and no line.
//!
//! Exit 0 when nothing is left, 1 when something is, 2 for a bad command line.

use shardpoll_tests::leak;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let clients = match &args[..] {
        [] => Ok(100_000),
        [flag, count] if flag == "--clients" => count.parse::<usize>().map_err(|_| count.clone()),
        _ => Err(args.join(" ")),
    };
    let clients = match clients {
        Ok(clients) => clients,
        Err(wrong) => {
            eprintln!("leak: {wrong:?} is not `--clients N`");
            return ExitCode::from(2);
        }
    };
    let report = leak::run(clients);
    println!("clients            {}", report.clients);
    println!("ended              {}", report.ended);
    println!("bytes received     {}", report.bytes);
    println!("descriptors before {}", report.descriptors_before);
    println!("descriptors after  {}", report.descriptors_after);
    println!("lines left         {}", report.lines_left);
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
