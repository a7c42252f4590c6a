//! What the verifier lets stand in a function that is called as one loop.

use natgrad_ir::{Invariant, Verified, Violations, text, verify};

/// A module whose entry calls a function with these parameters, results and instructions as one loop.
fn fused(params: &str, result: &str, body: &str) -> Result<Verified, Violations> {
    let names: Vec<&str> = params.split(' ').filter_map(|word| word.strip_suffix(':')).collect();
    let operands = names.join(", ");
    let module = format!(
        "module @m
        func @g(%a: f32[4]) -> (f32[4]) {{ %0: f32[4] = exp %a return %0 }}
        func @h(%i: u32[], %a: f32[4]) -> (f32[4]) {{ %0: f32[4] = exp %a return %0 }}
        func @f({params}) -> ({result}) {{ {body} return %r }}
        func @main({params}) -> ({result}) {{ %out: {result} = call fuse @f({operands}) return %out }}"
    );
    verify(text::parse(&module).unwrap())
}

#[test]
fn a_body_that_is_no_loop_over_its_result_is_refused() {
    let x = "%x: f32[4]";
    let shape = "neither a scalar nor of the result's shape [4]";
    let moves = "which is not elementwise";
    for (params, body, wanted) in [
        ("%x: f32[4], %y: f32[2,2]", "%r: f32[4] = exp %x", &[("%y is f32[2,2]", shape)][..]),
        (x, "%r: f32[4] = reshape %x", &[("%r is made by reshape", moves)]),
        (x, "%r: f32[4] = transpose %x {perm = [0]}", &[("%r is made by transpose", moves)]),
        (x, "%r: f32[4] = reverse %x {dims = [0]}", &[("%r is made by reverse", moves)]),
        (x, "%r: f32[4] = concat %x {dim = 0}", &[("%r is made by concat", moves)]),
        (
            x,
            "%r: f32[4] = slice %x {starts = [0], limits = [4], strides = [1]}",
            &[("%r is made by slice", moves)],
        ),
        (
            "%x: f32[4], %s: f32[]",
            "%r: f32[4] = pad %x, %s {low = [0], high = [0], interior = [0]}",
            &[("%r is made by pad", moves)],
        ),
        (
            x,
            "%s: f32[] = reduce_sum %x {dims = [0]}
            %r: f32[4] = broadcast %s {dims = []}",
            &[("%s is made by reduce_sum", moves)],
        ),
        (
            x,
            "%s: f32[] = dot %x, %x {batch = [] x [], contract = [0] x [0]}
            %r: f32[4] = broadcast %s {dims = []}",
            &[("%s is made by dot", moves)],
        ),
        ("%x: f32[4], %i: u32[4]", "%r: f32[4] = take %x, %i", &[("%r is made by take", moves)]),
        (
            "%x: f32[4], %i: u32[4]",
            "%r: f32[4] = scatter_add %x, %i, %x",
            &[("%r is made by scatter_add", moves)],
        ),
        (
            "%x: f32[4], %i: u32[]",
            "%s: f32[] = at %x, %i
            %r: f32[4] = broadcast %s {dims = []}",
            &[("%s is made by at", moves)],
        ),
        (
            "%k: u64[2]",
            "%b: u32[4] = philox %k
            %r: f32[4] = convert %b",
            &[("%k is u64[2]", shape), ("%b is made by philox", moves)],
        ),
        (
            x,
            "%r: f32[4] = broadcast %x {dims = [0]}",
            &[("%r is made by broadcast", "which must be of a scalar")],
        ),
        (
            x,
            "%c: f32[4] = constant {[1, 2, 3, 4]}
            %r: f32[4] = add %x, %c",
            &[("%c is made by constant", "which must have one element everywhere")],
        ),
        (x, "%r: f32[4] = call @g(%x)", &[("%r is made by call", "which runs another function")]),
        (
            x,
            "%n: u32[] = constant {2}
            %r: f32[4] = loop @h(%n, %x)",
            &[("%r is made by loop", "which runs another function")],
        ),
    ] {
        let violations = fused(params, "f32[4]", body).unwrap_err();
        let found: Vec<Invariant> = violations.0.iter().map(|violation| violation.invariant).collect();
        assert_eq!(found, vec![Invariant::FusedBody; wanted.len()], "{body}: {violations}");
        for (violation, (subject, fault)) in violations.0.iter().zip(wanted) {
            assert_eq!((violation.function.as_str(), violation.value.as_deref()), ("main", Some("%out")));
            assert_eq!(violation.message, format!("in the fused function `f`, {subject}, {fault}"));
        }
    }
}

#[test]
fn what_computes_each_element_in_its_place_is_accepted() {
    let body = "%c: f32[2,3] = constant {0.5}
        %one: f32[] = constant {1.0}
        %t: f32[] = mul %s, %one
        %S: f32[2,3] = broadcast %t {dims = []}
        %i: u32[2,3] = iota {dim = 1}
        %K: u32[2,3] = broadcast %k {dims = []}
        %b: u32[2,3] = xor %i, %K
        %n: f32[2,3] = convert %b
        %m: bool[2,3] = lt %n, %S
        %p: f32[2,3] = select %m, %x, %c
        %r: f32[2,3] = neg %p";
    fused("%x: f32[2,3], %s: f32[], %k: u32[]", "f32[2,3]", body).unwrap();
    fused("%x: f32[], %y: f32[]", "f32[]", "%r: f32[] = add %x, %y").unwrap();
    fused("%r: f32[4], %unused: f32[]", "f32[4]", "").unwrap();
}

/// A function that is broken in itself is not read as a loop, and several results are against the call's own rule.
#[test]
fn the_first_fault_is_told_alone() {
    let module = "module @m
        func @f(%x: f32[4]) -> (f32[4], f32[2,2]) { %0: f32[2,2] = reshape %x return %x, %0 }
        func @main(%x: f32[4]) -> (f32[4], f32[2,2]) { %0: f32[4], %1: f32[2,2] = call fuse @f(%x) return %0, %1 }";
    let violations = verify(text::parse(module).unwrap()).unwrap_err();
    let [violation] = &violations.0[..] else { panic!("{violations}") };
    assert_eq!(violation.invariant, Invariant::TypeRule);

    let mut module = fused("%x: f32[4]", "f32[4]", "%r: f32[4] = exp %x").unwrap().into_module();
    module.functions[2].insts[0].operands.clear();
    let violations = verify(module).unwrap_err();
    let [violation] = &violations.0[..] else { panic!("{violations}") };
    assert_eq!((violation.function.as_str(), violation.invariant), ("f", Invariant::TypeRule));
}
