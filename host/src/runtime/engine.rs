//! The WebAssembly engine, configured as in Spin.

use crate::error::Error;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// The most instances at the same time; Spin's default, under Spin's name.
const MAX_INSTANCES_ENV: &str = "SPIN_MAX_INSTANCE_COUNT";
const MAX_INSTANCES: u32 = 1_000;

/// Makes the engine in which every component of the process runs.
///
/// # Errors
/// The machine cannot run compiled WebAssembly.
pub(crate) fn engine() -> Result<Engine, Error> {
    // The pool makes an instance in microseconds but reserves terabytes of addresses, which some
    // systems refuse: without it everything works, only slower.
    let pooled = Engine::new(config().allocation_strategy(InstanceAllocationStrategy::Pooling(pool()?)));
    pooled.or_else(|_| Engine::new(&config())).map_err(Error::Engine)
}

fn config() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true).wasm_component_model_async(true);
    // Nothing here interrupts a guest, but Spin compiles these checks in: guest code should be as fast as there.
    config.epoch_interruption(true);
    config
}

fn pool() -> Result<PoolingAllocationConfig, Error> {
    let most = max_instances()?;
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(most)
        .total_memories(most)
        .total_stacks(most)
        .total_tables(most.saturating_mul(2))
        .total_core_instances(most.saturating_mul(4))
        .table_elements(100_000)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_core_instances_per_component(200)
        .max_tables_per_component(64)
        .max_memories_per_component(32)
        .max_tables_per_module(2)
        .max_memories_per_module(2)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(512 << 10);
    Ok(pool)
}

fn max_instances() -> Result<u32, Error> {
    let Ok(text) = std::env::var(MAX_INSTANCES_ENV) else {
        return Ok(MAX_INSTANCES);
    };
    text.parse()
        .map_err(|_| Error::Variables(format!("{MAX_INSTANCES_ENV}: expected a number, found {text:?}")))
}
