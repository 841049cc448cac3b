// The long runs: seed after seed of simulated servers and clients whose power goes and whose disks fail, until the time is
// over. `scripts/check/torture` starts it; RELIABILITY.md has its figures.
import Glibc

let arguments = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
guard arguments.count >= 2 else {
    print("usage: torture SECONDS SEED [LAST_SEED]")
    exit(64)
}
let torture = Torture(seconds: arguments[0], seed: arguments[1], last: arguments.count > 2 ? arguments[2] : .max)
exit(try torture.run() ? 0 : 1)
