/**
 * The case table: the rows of all kernel folders. A new kernel's rows are added here with one line.
 */
import { addCases } from "../kernels/add/cases.ts";
import { attentionCases } from "../kernels/attention/cases.ts";
import { embedCases } from "../kernels/embed/cases.ts";
import { gluCases } from "../kernels/glu/cases.ts";
import type { KernelCase } from "../kernels/kernel-case.ts";
import { linearColumnsCases } from "../kernels/linear-columns/cases.ts";
import { linearRowsCases } from "../kernels/linear-rows/cases.ts";
import { linearCases } from "../kernels/linear/cases.ts";
import { rmsNormCases } from "../kernels/rms-norm/cases.ts";
import { ropeCases } from "../kernels/rope/cases.ts";
import { scaleCases } from "../kernels/scale/cases.ts";
import { selectOutputsCases } from "../kernels/select-outputs/cases.ts";
import { storeKeyValueCases } from "../kernels/store-key-value/cases.ts";
import { tapeCases } from "../kernels/tape/cases.ts";
import { tenderAttentionCases } from "../kernels/tender-attention/cases.ts";
import { tenderLinearCases } from "../kernels/tender-linear/cases.ts";

export function kernelCases(): readonly KernelCase[] {
  return [
    ...embedCases(),
    ...rmsNormCases(),
    ...linearCases(),
    ...linearColumnsCases(),
    ...linearRowsCases(),
    ...tenderLinearCases(),
    ...ropeCases(),
    ...storeKeyValueCases(),
    ...attentionCases(),
    ...tenderAttentionCases(),
    ...gluCases(),
    ...addCases(),
    ...scaleCases(),
    ...selectOutputsCases(),
    ...tapeCases(),
  ];
}
