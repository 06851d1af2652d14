// The training step of a Llama written against jax-js, a second opinion on gradients (test/golden/jax-gradients.test.ts) and a
// peer in speed (training.mjs): loss and gradients of the mean cross-entropy of sequences of equal length. Untied output
// head, no biases. Arrays of jax-js are consumed by what they are passed to, hence the `.ref`s.
import { defaultDevice, init, jit, nn, numpy as np, valueAndGrad } from "@jax-js/jax";

/** Compiles the step for a shape and sequences of `length` tokens. Weights by tensor name, as in a checkpoint. */
export async function createJaxStep(shape, sequences, length) {
  await init("wasm");
  defaultDevice("wasm");
  const step = jit(
    valueAndGrad((weights, tokens, targets) => loss(shape, sequences, length, weights, tokens, targets)),
  );
  return {
    /** Float32Array and shape to an array of jax-js. */
    array: (values, dimensions) => np.array(values, { shape: dimensions }),
    /** Mean loss, and gradients by tensor name. */
    run: async (weights, tokens, targets) => {
      const own = Object.fromEntries(Object.entries(weights).map(([name, array]) => [name, array.ref]));
      const ids = (values) =>
        np.array(Int32Array.from(values), { shape: [sequences * length], dtype: np.int32 });
      const [value, gradients] = step(own, ids(tokens), ids(targets));
      const result = { loss: (await value.data())[0], gradients: {} };
      for (const [name, gradient] of Object.entries(gradients))
        result.gradients[name] = await gradient.data();
      return result;
    },
  };
}

function loss(shape, sequences, length, weights, tokens, targets) {
  const { layers, heads, kvHeads, width, activation } = shape;
  const d = width / heads;
  const rows = sequences * length;
  const epsilon = 1e-5;
  const norm = (x, weight) => {
    const square = np.mean(x.ref.mul(x.ref), -1, { keepdims: true }).add(epsilon);
    return x.div(np.sqrt(square)).mul(weight);
  };
  const activate = activation === "relu" ? nn.relu : nn.silu;
  const linear = (x, weight) => np.matmul(x, np.transpose(weight));
  const [cosines, sines] = rotary(length, d);
  const rotate = (x) => {
    const [low, high] = np.split(x, 2, -1);
    const left = low.ref.mul(cosines.ref).sub(high.ref.mul(sines.ref));
    const right = high.mul(cosines.ref).add(low.mul(sines.ref));
    return np.concatenate([left, right], -1);
  };
  /** [rows, count * d] to [sequences, count, length, d] */
  const split = (x, count) => np.transpose(np.reshape(x, [sequences, length, count, d]), [0, 2, 1, 3]);
  const future = np.triu(np.full([length, length], -1e9), 1);

  let hidden = np.take(weights["model.embed_tokens.weight"], tokens, 0);
  for (let layer = 0; layer < layers; layer++) {
    const w = (name) => weights[`model.layers.${layer}.${name}.weight`];
    const x = norm(hidden.ref, w("input_layernorm"));
    const query = rotate(split(linear(x.ref, w("self_attn.q_proj")), heads));
    const key = repeat(rotate(split(linear(x.ref, w("self_attn.k_proj")), kvHeads)), heads / kvHeads);
    const value = repeat(split(linear(x, w("self_attn.v_proj")), kvHeads), heads / kvHeads);
    const scores = np
      .matmul(query, np.transpose(key, [0, 1, 3, 2]))
      .mul(d ** -0.5)
      .add(future.ref);
    const attended = np.matmul(nn.softmax(scores, -1), value);
    const flat = np.reshape(np.transpose(attended, [0, 2, 1, 3]), [rows, width]);
    hidden = hidden.add(linear(flat, w("self_attn.o_proj")));
    const y = norm(hidden.ref, w("post_attention_layernorm"));
    const gate = activate(linear(y.ref, w("mlp.gate_proj")));
    hidden = hidden.add(linear(gate.mul(linear(y, w("mlp.up_proj"))), w("mlp.down_proj")));
  }
  const logits = linear(norm(hidden, weights["model.norm.weight"]), weights["lm_head.weight"]);
  const wanted = nn.oneHot(targets, shape.vocabularySize);
  return np.sum(nn.logSoftmax(logits, -1).mul(wanted)).mul(-1 / rows);

  /** Every key/value head `times` times in a row. */
  function repeat(x, times) {
    return times === 1 ? x : np.repeat(x, times, 1);
  }
}

function rotary(length, d) {
  const angles = Array.from(
    { length: length * (d / 2) },
    (_, i) => Math.floor(i / (d / 2)) * 10000 ** (-(i % (d / 2)) / (d / 2)),
  );
  const table = (of) => np.array(Float32Array.from(angles, of), { shape: [length, d / 2] });
  return [table(Math.cos), table(Math.sin)];
}
