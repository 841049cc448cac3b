import NatterCommands

NatterProgram.main()
