/** Entry point of a helper thread in Node. */
import { nodeWorkerPort } from "../../platform/node.ts";
import { hostThread } from "./engine-host.ts";

hostThread(nodeWorkerPort());
