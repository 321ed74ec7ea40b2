//! Placeholder until the pipeline is there: prints the message.

use spin_sdk::redis_subscriber;

#[redis_subscriber]
async fn on_message(message: Vec<u8>) -> Result<(), String> {
    println!("{} bytes", message.len());
    Ok(())
}
