// A chart of two dimensions is made when it comes near the view and kept up to date while it is there;
// what changes while it is not is caught up with when it comes back.

function whenNear(plot, make) {
  let made = false;
  let near = false;
  let due = null;
  const observer = new IntersectionObserver((entries) => {
    near = entries[entries.length - 1].isIntersecting;
    if (!near) return;
    if (made) due?.();
    else make();
    [made, due] = [true, null];
  }, { rootMargin: '200px' });
  observer.observe(plot);
  const catchUp = (draw) => {
    if (!made) return;
    if (near) draw();
    else if (due !== make) due = draw; // to make it draws everything
  };
  new ResizeObserver(() => catchUp(make)).observe(plot);
  return { makeAgain: () => catchUp(make), catchUp };
}
