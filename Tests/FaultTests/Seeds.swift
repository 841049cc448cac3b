import Glibc

/// Which seeds a test runs with: `NATTER_FAULT_SEED` for that one alone, to have a failure again.
func seeds(_ standard: ClosedRange<UInt64>) -> [UInt64] {
    if let given = getenv("NATTER_FAULT_SEED").flatMap({ UInt64(String(cString: $0)) }) { return [given] }
    return Array(standard)
}
