//! What tests that run programs share: a client, and the comparison of XLA with the interpreter.

use std::sync::LazyLock;

use natgrad::assets::cpu_plugin;
use natgrad::compile::bytes::{element_type, to_bytes};
use natgrad::compile::{Target, register_calls};
use natgrad::lower::{Donation, Loops, Lowering, to_stablehlo};
use natgrad::pjrt::{Arg, Buffer, Client, Executable, Plugin, TrustedLibrary};
use natgrad_ir::interp::{Data, Tensor, evaluate};
use natgrad_ir::{Builder, DType, Module, TensorType, Value, Verified, verify};

/// The one client of the test process.
pub static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let plugin = Plugin::load(&TrustedLibrary::at(cpu_plugin().unwrap())).unwrap();
    register_calls(&plugin);
    Client::create(&plugin, &[]).unwrap()
});

/// How programs are told to the client.
pub fn lowering() -> Lowering {
    Target::of(&CLIENT).lowering(Loops::Merged)
}

/// A program of one function being built, with the inputs to run it on and what each result shows.
pub struct Program {
    /// Builds the function.
    pub builder: Builder,
    inputs: Vec<Tensor>,
    results: Vec<(String, Value, Nearness)>,
}

impl Program {
    /// Nothing yet.
    pub fn new() -> Program {
        Program { builder: Builder::new("main"), inputs: Vec::new(), results: Vec::new() }
    }

    /// Adds a parameter that is run with this value.
    pub fn param(&mut self, input: Tensor) -> Value {
        let value = self.builder.param(format!("x{}", self.inputs.len()), input.ty().clone());
        self.inputs.push(input);
        value
    }

    /// Adds a result.
    pub fn result(&mut self, name: String, value: Value) {
        self.results.push((name, value, Nearness::OneOperation));
    }

    /// Adds a result that must be equal to the bit.
    pub fn exact_result(&mut self, name: String, value: Value) {
        self.results.push((name, value, Nearness::Exact));
    }
}

/// Runs the program in both ways and panics with every result that differs.
pub fn agree(program: Program) {
    let values: Vec<Value> = program.results.iter().map(|&(_, value, _)| value).collect();
    let mut module = Module::new("program");
    module.push(program.builder.finish(&values).unwrap());
    let module = verify(module).unwrap();
    let wanted = evaluate(&module, &program.inputs).unwrap();
    let found = run(&module, &program.inputs);
    let mut differences = Vec::new();
    for (&(ref name, _, nearness), (wanted, found)) in program.results.iter().zip(wanted.iter().zip(&found)) {
        if let Some(difference) = difference(wanted, found, nearness) {
            differences.push(format!("{name}: {difference}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Compiles a program with natgrad's options.
pub fn compile(text: &str) -> Executable {
    let options = Target::of(&CLIENT).options(Loops::Merged);
    // By default XLA:CPU answers the number where one operand of a maximum is NaN.
    let options = options.flag("xla_cpu_enable_fast_min_max", false);
    CLIENT.compile(text.as_bytes(), &options).unwrap()
}

/// Compiles and runs the entry of a module on the test's client.
pub fn run(module: &Verified, inputs: &[Tensor]) -> Vec<Tensor> {
    let text = to_stablehlo(module, &Donation::none(), lowering()).unwrap();
    let executable = compile(&text);
    let buffers: Vec<Buffer> = inputs.iter().map(upload).collect();
    let outputs = executable.execute(buffers.iter().map(Arg::Keep)).unwrap();
    let entry = module.module().entry().unwrap();
    let types = entry.results.iter().map(|&result| entry.ty(result));
    outputs.iter().zip(types).map(|(output, ty)| download(output, ty)).collect()
}

/// How near XLA's result must be to the interpreter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearness {
    /// Equal to the bit, any two NaNs being equal.
    Exact,
    /// To the precision of one operation in its type. XLA takes subnormal numbers for zero.
    OneOperation,
    /// To the precision of a whole program with values of about one.
    Program,
}

impl Nearness {
    fn accepts(self, dtype: DType, wanted: f64, found: f64) -> bool {
        let (relative, normal) = match dtype {
            DType::F32 => (1e-5, f64::from(f32::MIN_POSITIVE)),
            DType::BF16 => (1.6e-2, f64::from(f32::MIN_POSITIVE)),
            DType::F16 => (2e-3, 6.2e-5),
            DType::F64 | DType::S32 | DType::U32 | DType::U64 | DType::Bool => (1e-12, f64::MIN_POSITIVE),
        };
        let absolute = match self {
            Nearness::Exact => {
                return wanted.to_bits() == found.to_bits() || (wanted.is_nan() && found.is_nan());
            }
            Nearness::OneOperation => normal,
            Nearness::Program => relative,
        };
        (wanted.is_nan() && found.is_nan())
            || wanted == found
            || (wanted - found).abs() <= relative * wanted.abs() + absolute
    }
}

/// The first place where XLA's result is not near the interpreter's. Integers and truth values must be equal.
pub fn difference(wanted: &Tensor, found: &Tensor, nearness: Nearness) -> Option<String> {
    let dtype = wanted.ty().dtype;
    if let (Data::Float(wanted), Data::Float(found)) = (wanted.data(), found.data()) {
        let mut pairs = wanted.iter().zip(found).enumerate();
        let near = |wanted, found| nearness.accepts(dtype, wanted, found);
        let (index, (wanted, found)) = pairs.find(|&(_, (&wanted, &found))| !near(wanted, found))?;
        return Some(format!("element {index} is {found:e}, not {wanted:e}"));
    }
    let equal = wanted.data() == found.data();
    (!equal).then(|| format!("is {:?}, not {:?}", found.data(), wanted.data()))
}

fn upload(tensor: &Tensor) -> Buffer {
    let ty = tensor.ty();
    let dims: Vec<i64> = ty.shape.dims().iter().map(|&dim| dim as i64).collect();
    let bytes: Vec<u8> = match tensor.data() {
        Data::Float(values) => to_bytes(ty.dtype, values),
        Data::Int(values) => {
            values.iter().flat_map(|value| value.to_le_bytes()[..ty.dtype.size_bytes()].to_vec()).collect()
        }
        Data::Bool(values) => values.iter().map(|&value| u8::from(value)).collect(),
    };
    CLIENT.upload(element_type(ty.dtype), &dims, &bytes).unwrap()
}

fn download(buffer: &Buffer, ty: &TensorType) -> Tensor {
    let bytes = buffer.to_host().unwrap();
    let shape = ty.shape.clone();
    let tensor = match ty.dtype {
        DType::F64 => Tensor::unrounded(ty.clone(), &numbers(&bytes, f64::from_le_bytes)),
        DType::F32 => Tensor::from_f32s(shape, &numbers(&bytes, f32::from_le_bytes)),
        DType::BF16 => {
            let number = |bytes| half::bf16::from_le_bytes(bytes).to_f64();
            Tensor::unrounded(ty.clone(), &numbers(&bytes, number))
        }
        DType::F16 => {
            let number = |bytes| half::f16::from_le_bytes(bytes).to_f64();
            Tensor::unrounded(ty.clone(), &numbers(&bytes, number))
        }
        DType::S32 => Tensor::from_i32s(shape, &numbers(&bytes, i32::from_le_bytes)),
        DType::U32 => Tensor::from_u32s(shape, &numbers(&bytes, u32::from_le_bytes)),
        DType::U64 => Tensor::from_u64s(shape, &numbers(&bytes, u64::from_le_bytes)),
        DType::Bool => Tensor::from_bools(shape, &numbers(&bytes, |[byte]: [u8; 1]| byte != 0)),
    };
    tensor.unwrap()
}

fn numbers<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&chunk| read(chunk)).collect()
}
