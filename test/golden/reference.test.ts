/** Runs the golden suite on the reference executor. */
import { createReferenceExecutor } from "../../src/executors/reference/reference-executor.ts";
import { describeGolden } from "./reference-suite.ts";

describeGolden("reference", createReferenceExecutor);
