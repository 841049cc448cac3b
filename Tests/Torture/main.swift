// The long runs of simulated servers and clients whose power is lost and whose disks fail. They run seed after seed
// until the time is over. `tools/check/torture` starts them, and docs/reliability.md has the results.
import Glibc

let arguments = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
guard arguments.count >= 2 else {
    print("usage: torture SECONDS SEED [LAST_SEED]")
    exit(64)
}
let torture = Torture(seconds: arguments[0], seed: arguments[1], last: arguments.count > 2 ? arguments[2] : .max)
exit(try torture.run() ? 0 : 1)
