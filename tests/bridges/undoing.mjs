// Undoes what a test has set up: what was set up last goes first, so nobody is left behind who would look for what is gone.

/** Has `after` as a test has it; what it is given is done in the opposite order. */
export function undoing(test) {
  const steps = [];
  test.after(async () => {
    while (steps.length > 0) await steps.pop()();
  });
  return { after: (step) => steps.push(step) };
}
