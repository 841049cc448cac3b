extension Connection {
    /// A statement with a value for each `?`, in order.
    public func statement(_ sql: String, _ values: [any SQLValue]) throws(SQLiteError) -> Statement {
        let statement = try statement(sql)
        try statement.bind(all: values)
        return statement
    }

    /// The values that `read` makes of the rows of a query.
    ///
    /// - Parameters:
    ///   - sql: of the program, never from input.
    ///   - values: one for each `?`, in order.
    @inlinable
    public func rows<Row>(
        _ sql: String, _ values: any SQLValue..., read: (borrowing Statement) throws(SQLiteError) -> Row
    ) throws(SQLiteError) -> [Row] {
        let statement = try statement(sql, values)
        var rows: [Row] = []
        while try statement.step() { rows.append(try read(statement)) }
        return rows
    }

    /// The value that `read` makes of the first row of a query; nil if it has no rows.
    @inlinable
    public func row<Row>(
        _ sql: String, _ values: any SQLValue..., read: (borrowing Statement) throws(SQLiteError) -> Row
    ) throws(SQLiteError) -> Row? {
        let statement = try statement(sql, values)
        return try statement.step() ? try read(statement) : nil
    }

    /// Runs a statement that returns no rows.
    public func run(_ sql: StaticString, _ values: any SQLValue...) throws(SQLiteError) {
        let statement = try statement(sql.description, values)
        while try statement.step() {}
    }

    /// Whether a query has a row.
    public func hasRow(_ sql: String, _ values: any SQLValue...) throws(SQLiteError) -> Bool {
        try statement(sql, values).step()
    }
}
