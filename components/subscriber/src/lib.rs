//! The subscriber: handles the messages of the pub/sub channel.

#![expect(unsafe_code, reason = "the macro exports the handler with the component ABI")]

use spin_sdk::redis_subscriber;

#[redis_subscriber]
async fn on_message(message: Vec<u8>) -> Result<(), String> {
    spindrift_adapter::on_message(message).await
}
