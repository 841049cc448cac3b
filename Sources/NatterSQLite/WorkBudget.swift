internal import CSQLite

/// How much work statements may do, so that nobody can ask for more than a server can give. It counts work instead of
/// time, so that an answer does not depend on what else the machine does.
///
/// Reading a page costs much more than a step of SQLite's virtual machine. A full-text query takes few steps for each
/// page of its lists of words, and many for each row that it finds, so both are counted.
public final class WorkBudget {
    /// Steps of the virtual machine.
    public private(set) var steps: Int
    /// Pages of the database, from its cache or the disk.
    public private(set) var pages: Int
    /// `pages` at the last call, as SQLite counts.
    private var seenPages = 0
    private var handle: OpaquePointer?

    public init(steps: Int, pages: Int) { (self.steps, self.pages) = (steps, pages) }

    /// How many steps pass between two checks.
    private static let period = 32

    public var isSpent: Bool { steps <= 0 || pages <= 0 }

    /// Runs `body`, whose statements end with `overBudget` when the budget is used up.
    ///
    /// - Parameters:
    ///   - share: the part of the budget's steps that `body` may use: 1 for all of them, 2 for the half.
    ///   - pageShare: the part of its pages.
    func limit<Result>(
        _ handle: OpaquePointer, share: Int, pageShare: Int, _ body: () throws -> Result
    ) rethrows -> Result {
        let kept = (steps: steps - steps / share, pages: pages - pages / pageShare)
        (steps, pages) = (steps - kept.steps, pages - kept.pages)
        self.handle = handle
        seenPages = pagesRead
        sqlite3_progress_handler(
            handle, Int32(WorkBudget.period),
            { context in
                guard let context else { return 0 }
                let budget = Unmanaged<WorkBudget>.fromOpaque(context).takeUnretainedValue()
                budget.charge()
                return budget.isSpent ? 1 : 0
            }, Unmanaged.passUnretained(self).toOpaque())
        defer {
            sqlite3_progress_handler(handle, 0, nil, nil)
            charge()
            self.handle = nil
            (steps, pages) = (max(0, steps) + kept.steps, max(0, pages) + kept.pages)
        }
        return try body()
    }

    private func charge() {
        steps -= WorkBudget.period
        let read = pagesRead
        // The counter has 32 bits.
        pages -= max(0, read - seenPages)
        seenPages = read
    }

    private var pagesRead: Int {
        var sum = 0
        for kind in [SQLITE_DBSTATUS_CACHE_HIT, SQLITE_DBSTATUS_CACHE_MISS] {
            var (count, high): (Int32, Int32) = (0, 0)
            if sqlite3_db_status(handle, kind, &count, &high, 0) == SQLITE_OK { sum += Int(count) }
        }
        return sum
    }
}

extension Connection {
    /// Runs `body`, whose statements end with `overBudget` when the budget is used up. Without a budget they never do.
    ///
    /// - Parameters:
    ///   - share: the part of the budget's steps that `body` may use: 1 for all of them, 2 for the half.
    ///   - pageShare: the part of its pages; by default as of the steps.
    public func limited<Result>(
        to budget: WorkBudget?, share: Int = 1, pageShare: Int? = nil, _ body: () throws -> Result
    ) rethrows -> Result {
        guard let budget else { return try body() }
        return try budget.limit(handle, share: share, pageShare: pageShare ?? share, body)
    }
}
