// Plays segments, and moves a line along the timeline. The result is replaced with each
// recording, so the listeners are the document's.
(() => {
  const parts = (node) => {
    const figure = node.closest(".ser-timeline");
    return figure && { figure, audio: figure.querySelector("audio") };
  };
  let until = null; // where the segment that is played ends

  const play = (audio, start, end) => {
    audio.currentTime = start;
    until = end;
    audio.play();
  };

  document.addEventListener("click", (event) => {
    const found = event.target.closest && parts(event.target);
    if (!found) return;
    const segment = event.target.closest(".ser-segment");
    if (segment) {
      play(found.audio, Number(segment.dataset.start), Number(segment.dataset.end));
      return;
    }
    const wave = event.target.closest(".ser-wave, .ser-curves");
    if (wave) {
      const box = wave.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      play(found.audio, share * Number(found.figure.dataset.duration), null);
    }
  });

  const show = (audio) => {
    const { figure } = parts(audio);
    const now = audio.currentTime;
    const head = figure.querySelector(".ser-head");
    head.style.left = `${(100 * now) / Number(figure.dataset.duration)}%`;
    for (const segment of figure.querySelectorAll(".ser-segment")) {
      const isNow = now >= segment.dataset.start && now < segment.dataset.end;
      segment.classList.toggle("ser-now", isNow && !audio.paused);
    }
  };

  const follow = (audio) => {
    if (until !== null && audio.currentTime >= until) {
      until = null;
      audio.pause();
    }
    show(audio);
    if (!audio.paused) requestAnimationFrame(() => follow(audio));
  };

  // Events of media do not bubble, but they are captured.
  const listen = (name, act) =>
    document.addEventListener(
      name,
      (event) => event.target.closest?.(".ser-timeline") && act(event.target),
      true,
    );
  listen("play", follow);
  listen("pause", (audio) => {
    until = null;
    show(audio);
  });
  listen("seeked", show);
})();
